/** Plots in which everybody computes for a job that is declared, sooner or later. */
import { gpusOf, type LoadName, type Part, type Place, type Site } from './site.ts';

/** Adds a story to a site, if there is room for it. */
export type Plot = (site: Site) => void;

const HOUR = 3600;
/** A process begins so long after its job at least: schedulers write the start down first. */
const LEAD = 3;

export interface Run {
  readonly name: string;
  readonly id: string;
  readonly user: string;
  readonly script: string;
  readonly start: number;
  /** Seconds; undefined: it runs on. */
  readonly end: number | undefined;
}

/** When a job is: before everything or within, open or with an end. */
function span(site: Site): { start: number; end: number | undefined } {
  const { random, length } = site;
  const start = random.chance(0.4) ? -site.second(200, HOUR) : site.second(20, length * 0.4);
  const end = random.chance(0.5) ? undefined : site.second(Math.max(start, 0) + 240, length * 0.95);
  return { start, end };
}

/** How late its source tells of a job: mostly at once, sometimes by so much that verdicts must be taken back. */
function lateness(site: Site): Pick<Part<'jobs'>, 'known' | 'endKnown'> {
  const { random } = site;
  return {
    known: random.pick([0, 0, 0, 25, 70, 400]),
    endKnown: random.pick([0, 0, 0, 25, 300]),
  };
}

/** A job of Slurm with its batch script. */
export function slurmJob(site: Site, on: Part<'jobs'>['on'], node: string, more: Part<'jobs'> = {}): Run {
  const { random } = site;
  const number = site.next();
  const id = String(7000 + number * 10);
  const name = `job${number}`;
  const user = site.user();
  const { start, end } = { ...span(site), ...secondsOf(more) };
  site.job(name, {
    ...{ id, account: random.pick(['vision', 'speech', 'physics']), on, start, ...lateness(site) },
    ...(random.chance(0.7) ? { user } : {}),
    ...(end === undefined ? {} : { end }),
    ...more,
  });
  const script = `script${number}`;
  site.process(script, {
    ...{ node, user, job: name, exe: '/usr/bin/bash', argv: ['/bin/bash', 'slurm_script'], start: start + 1 },
    ...(end === undefined ? {} : { end: end - 0.5 }),
  });
  return { name, id, user, script, start, end };
}

function secondsOf({ start, end }: Part<'jobs'>): { start?: number; end?: number } {
  return {
    ...(typeof start === 'number' ? { start } : {}),
    ...(typeof end === 'number' ? { end } : {}),
  };
}

/** A process of a job that computes on these GPUs, from soon after its start to just before its end. */
export function worker(site: Site, run: Run, place: Place, more: Part<'processes'> = {}): string {
  const name = `worker${site.next()}`;
  const start = site.second(run.start + LEAD, run.start + 40);
  const begun = site.second(start, start + 30);
  site.process(name, {
    ...{ node: place.node, user: run.user, job: run.name, parent: run.script, exe: PYTHON, start },
    argv: [PYTHON, 'train.py'],
    ...(run.end === undefined ? {} : { end: run.end - 1 }),
    uses: [{ gpus: gpusOf(place.gpus), load: anyLoad(site), from: begun }],
    ...more,
  });
  return name;
}

export const PYTHON = '/opt/env/bin/python3.11';
export const anyLoad = (site: Site): LoadName => site.random.pick(['full', 'most', 'noisy', 'waves', 'full']);

/** Training, with or without declared executables, often known late or corrected. */
const training: Plot = (site) => {
  const place = site.take(site.random.integer(1, 3));
  if (place === null) return;
  const { random, length } = site;
  const declares = random.chance(0.5) ? { executables: [PYTHON] } : {};
  const corrections = random.chance(0.3)
    ? [{ at: site.second(100, length), account: random.pick(['vision', 'chemistry']) }]
    : [];
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, {
    ...declares,
    revisions: corrections,
  });
  worker(site, run, place);
  if (random.chance(0.5))
    site.process(`loader${site.next()}`, {
      ...{ node: place.node, user: run.user, job: run.name, parent: run.script, exe: PYTHON },
      ...{ start: run.start + 5, ...(run.end === undefined ? {} : { end: run.end - 1 }) },
    });
};

/** A pod: its runtime starts from memory, then executes its way to the program. */
const pod: Plot = (site) => {
  const place = site.take(site.random.integer(1, 2));
  if (place === null) return;
  const number = site.next();
  const { start, end } = span(site);
  const user = site.user();
  const name = `pod${number}`;
  site.job(name, {
    ...{ source: site.random.pick(['kubernetes', 'docker']), account: 'services', start },
    ...{ on: { [place.node]: gpusOf(place.gpus) }, ...lateness(site) },
    ...(end === undefined ? {} : { end }),
  });
  const born = site.second(start + LEAD, start + 20);
  site.process(`${name}-main`, {
    ...{ node: place.node, user, session: false, job: name, start: born, innerPid: 1 },
    ...{ exe: 'memfd:runc_cloned:/proc/self/exe', argv: ['runc', 'init'] },
    changes: [
      { at: born + 0.4, exe: '/usr/bin/tini', argv: ['tini', '--', 'bash'] },
      { at: born + 1, exe: PYTHON, argv: [PYTHON, '-m', 'server'] },
      { at: born + 60, argv: ['ray::serve'], comm: 'ray::serve' },
    ],
    ...(end === undefined ? {} : { end: end - 1 }),
    uses: [{ gpus: gpusOf(place.gpus), load: anyLoad(site), from: born + site.second(3, 40) }],
  });
};

/** Two jobs share a GPU by declared halves. */
const shared: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  for (let part = 0; part < 2; part += 1) {
    const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, { share: 0.5 });
    worker(site, run, place, { uses: [{ gpus: gpusOf(place.gpus), load: 'half', from: run.start + 45 }] });
  }
};

/** Two jobs were given the same GPU, each all of it. */
const overlapping: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  for (let part = 0; part < 2; part += 1) {
    const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node);
    worker(site, run, place, { uses: [{ gpus: gpusOf(place.gpus), load: 'third', from: run.start + 45 }] });
  }
};

/** Short tasks of an array, one after another on one GPU. */
const array: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const number = site.next();
  const user = site.user();
  const every = site.second(70, 150);
  const [gpu = 0] = place.gpus;
  const count = Math.max(1, Math.min(12, Math.floor((site.length - 60) / every) - 1));
  const start = site.second(10, 40);
  const name = `array${number}`;
  const known = site.random.pick([0, 0, 30, 200]);
  site.job(name, {
    ...{ id: String(70_000 + number * 100), user, account: 'physics', start, end: start + every - 10, known },
    ...{ on: { [place.node]: { gpus: gpu } }, copies: { count, every } },
  });
  site.process(`${name}-task`, {
    ...{ node: place.node, user, job: name, exe: '/opt/site/bin/simulate', start: start + 2 },
    ...{ end: start + every - 12, uses: [{ gpus: gpu, load: 'full' }], copies: { count, every } },
  });
};

/** Tasks of some seconds, one right after another, each a job of its own. */
const shortTasks: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const number = site.next();
  const user = site.user();
  const every = site.second(21, 40);
  const gpus = gpusOf(place.gpus);
  const count = Math.min(25, Math.floor((site.length - 60) / every) - 1);
  const start = site.second(10, 40);
  const name = `tasks${number}`;
  site.job(name, {
    ...{ id: String(70_000 + number * 100), user, account: 'physics', start, end: start + every - 1 },
    ...{ known: site.random.pick([0, 0, 12, 90]), on: { [place.node]: gpus }, copies: { count, every } },
  });
  site.process(`${name}-task`, {
    ...{ node: place.node, user, job: name, exe: '/opt/site/bin/simulate', start: start + 0.5 },
    ...{ end: start + every - 1.5, uses: [{ gpus, load: 'full' }], copies: { count, every } },
  });
};

/** The owner is stopped for a while, and a guest whom the scheduler lets in computes in between. */
const suspended: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const { length } = site;
  const gpus = gpusOf(place.gpus);
  const [from, to] = [site.second(length * 0.3, length * 0.4), site.second(length * 0.6, length * 0.7)];
  const owner = slurmJob(site, { [place.node]: gpus }, place.node, { start: -300, end: length - 20 });
  worker(site, owner, place, {
    uses: [
      { gpus, load: 'full', from: -200, to: from - 2 },
      { gpus, load: 'still', from: from - 2, to: to + 2 },
      { gpus, load: 'full', from: to + 2 },
    ],
  });
  const guest = slurmJob(site, { [place.node]: gpus }, place.node, { start: from, end: to });
  worker(site, guest, place, {
    start: from + LEAD,
    uses: [{ gpus, load: 'most', from: from + LEAD + 5, to: to - 4 }],
  });
};

/** Preempted, and started again under the same id elsewhere. */
const requeued: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const { length } = site;
  const [first = 0, second = 0] = place.gpus;
  const end = site.second(length * 0.3, length * 0.45);
  const before = slurmJob(site, { [place.node]: { gpus: first } }, place.node, { start: -500, end });
  worker(site, before, { node: place.node, gpus: [first] });
  const start = end + site.second(20, 120);
  const again = slurmJob(site, { [place.node]: { gpus: second } }, place.node, {
    ...{ id: before.id, incarnation: 1, start, end: length - 15 },
  });
  worker(site, again, { node: place.node, gpus: [second] });
};

/** "So many GPUs of this node", without saying which. */
const counted: Plot = (site) => {
  const place = site.takeNode();
  if (place === null) return;
  let at = 0;
  while (at < place.gpus.length) {
    const count = Math.min(place.gpus.length - at, site.random.integer(1, 2));
    const own = { node: place.node, gpus: place.gpus.slice(at, at + count) };
    const run = slurmJob(site, { [place.node]: { any: count } }, place.node, {
      known: site.random.pick([0, 0, 90]),
    });
    worker(site, run, own);
    at += count;
  }
};

/** One node, some jobs of which name their GPUs and others say only how many: those get what the named ones leave. */
const mixed: Plot = (site) => {
  const place = site.takeNode();
  if (place === null || place.gpus.length < 2) return;
  const { random } = site;
  const order = random.chance(0.5) ? place.gpus : place.gpus.toReversed();
  let isNamed = random.chance(0.5);
  for (const gpu of order) {
    const own = { node: place.node, gpus: [gpu] };
    const known = random.pick([0, 0, 25, 90]);
    worker(
      site,
      slurmJob(site, { [place.node]: isNamed ? { gpus: gpu } : { any: 1 } }, place.node, { known }),
      own,
    );
    isNamed = !isNamed;
  }
};

/** A whole node for one job. */
const wholeNode: Plot = (site) => {
  const place = site.takeNode();
  if (place === null) return;
  const run = slurmJob(site, { [place.node]: 'all' }, place.node);
  worker(site, run, place);
};

/** Declared by whoever started it, at once: its root process is what ties others to it. */
const declaredByHand: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const number = site.next();
  const user = site.user();
  const name = `run${number}`;
  const start = site.second(20, site.length * 0.4);
  const end = site.random.chance(0.5) ? site.second(start + 240, site.length - 20) : undefined;
  site.process(`${name}-shell`, {
    node: place.node,
    user,
    exe: '/usr/bin/bash',
    argv: ['-bash'],
    start: start - 5,
  });
  site.process(`${name}-root`, {
    ...{ node: place.node, user, parent: `${name}-shell`, exe: PYTHON, start: start + 1 },
    ...(end === undefined ? {} : { end: end - 1 }),
  });
  site.process(`${name}-worker`, {
    ...{ node: place.node, user, parent: `${name}-root`, exe: PYTHON, start: start + 4, truthJob: name },
    ...(end === undefined ? {} : { end: end - 1 }),
    uses: [{ gpus: gpusOf(place.gpus), load: anyLoad(site), from: start + 10 }],
  });
  site.job(name, {
    ...{ source: 'api', account: 'speech', user, start, known: site.second(2, 40), root: `${name}-root` },
    on: { [place.node]: gpusOf(place.gpus) },
    ...(end === undefined ? {} : { end }),
  });
};

/** One GPU, one server of MPS, several clients of one job. */
const contextServer: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const gpus = gpusOf(place.gpus);
  const run = slurmJob(site, { [place.node]: gpus }, place.node);
  const own = {
    node: place.node,
    user: run.user,
    job: run.name,
    ...(run.end === undefined ? {} : { end: run.end - 1 }),
  };
  const number = site.next();
  // Since Volta clients are sampled themselves; before, what they execute is their server's.
  const isOld = site.random.chance(0.5);
  site.process(`control${number}`, {
    ...own,
    parent: run.script,
    exe: '/usr/bin/nvidia-cuda-mps-control',
    start: run.start + 4,
  });
  site.process(`server${number}`, {
    ...{ ...own, parent: `control${number}`, exe: '/usr/bin/nvidia-cuda-mps-server', start: run.start + 5 },
    uses: [{ gpus, load: isOld ? 'most' : 'still' }],
  });
  site.process(`client${number}`, {
    ...{ ...own, parent: run.script, exe: '/opt/site/bin/simulate', start: run.start + 10 },
    uses: [{ gpus, load: isOld ? 'still' : 'third', type: 'M+C' }],
    copies: { count: site.random.integer(2, 3) },
  });
};

export const DECLARED_PLOTS: readonly Plot[] = [
  training,
  training,
  pod,
  shared,
  overlapping,
  array,
  shortTasks,
  suspended,
  requeued,
  counted,
  mixed,
  wholeNode,
  declaredByHand,
  contextServer,
];
