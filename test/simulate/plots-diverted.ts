/** Plots in which somebody computes that no declaration covers. */
import { anyLoad, type Plot, PYTHON, slurmJob, worker } from './plots-declared.ts';
import { gpusOf, type Part, type Place, type Site } from './site.ts';

const MINER = '/home/other/.cache/w';

/** From when to when somebody diverts: long enough to be seen, mostly; sometimes to the end. */
function stretch(site: Site): { start: number; end?: number } {
  const { length, random } = site;
  const start = site.second(15, length * 0.5);
  return random.chance(0.3) ? { start } : { start, end: site.second(start + 150, length * 0.95) };
}

/** What a plot does under a user's own login, without any job. */
function loose(site: Site, place: Place, more: Part<'processes'> = {}): string {
  const number = site.next();
  const user = more.user ?? site.user();
  const time = stretch(site);
  site.process(`shell${number}`, {
    node: place.node,
    user,
    exe: '/usr/bin/bash',
    argv: ['-bash'],
    start: time.start - 10,
  });
  const name = `other${number}`;
  site.process(name, {
    ...{
      node: place.node,
      user,
      parent: `shell${number}`,
      exe: MINER,
      argv: ['./w', '-c', 'x.json'],
      ...time,
    },
    ...{ uses: [{ gpus: gpusOf(place.gpus), load: anyLoad(site) }], truth: 'diverted', ...more },
  });
  return name;
}

/** Nobody gave it these GPUs, and it is in no job. */
const noJob: Plot = (site) => {
  const place = site.take(site.random.integer(1, 2));
  if (place !== null) loose(site, place);
};

/** It forks, and its children compute; it gives itself the name of something known. */
const family: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const user = site.user();
  const parent = loose(site, place, { user, uses: [] });
  const { start = 0, end } = site.document.processes?.[parent] ?? {};
  const born = Number(start);
  site.process(`child${site.next()}`, {
    ...{ node: place.node, user, parent, exe: MINER, start: born + 1, ...(end === undefined ? {} : { end }) },
    changes: [
      { at: born + 40, exe: '/home/other/python3.11', argv: ['python3.11', 'train.py'] },
      { at: born + 90, argv: ['[kworker/0:1]'], comm: 'kworker/0:1' },
    ],
    ...{
      uses: [{ gpus: place.gpus[0] ?? 0, load: 'full' }],
      copies: { count: 2, gpu: (place.gpus[1] ?? 0) - (place.gpus[0] ?? 0) },
    },
    truth: 'diverted',
  });
};

/** Inside a job that said what it would run. */
const foreign: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const [own = 0, other = 0] = place.gpus;
  const time = stretch(site);
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, {
    ...{ executables: [PYTHON, '/usr/bin/bash'], start: -600, end: site.length + 600, endKnown: 0 },
  });
  worker(site, run, { node: place.node, gpus: [own] });
  site.process(`inside${site.next()}`, {
    ...{ node: place.node, user: run.user, job: run.name, parent: run.script, exe: '/workspace/x', ...time },
    ...{
      uses: [{ gpus: site.random.pick([own, other]), load: site.random.pick(['half', 'third', 'full']) }],
      truth: 'diverted',
    },
  });
};

/** It goes on when its job has ended. */
const afterEnd: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const end = site.second(60, site.length * 0.5);
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, { start: -400, end });
  worker(site, run, place, {
    ...{ start: -300, end: site.second(end + 150, site.length - 5) },
    uses: [{ gpus: gpusOf(place.gpus), load: 'full' }],
    truth: [
      { from: -300, is: 'declared' },
      { from: end, is: 'diverted' },
    ],
  });
};

/** A job's process on a GPU that the job was not given, free or of another job. */
const outside: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const [own = 0, other = 0] = place.gpus;
  const run = slurmJob(site, { [place.node]: { gpus: own } }, place.node, { start: -600 });
  worker(site, run, { node: place.node, gpus: [own] });
  worker(
    site,
    run,
    { node: place.node, gpus: [other] },
    {
      ...{ start: site.second(20, 60), uses: [{ gpus: other, load: 'third' }], truth: 'diverted' },
    },
  );
  if (site.random.chance(0.5)) return;
  const neighbour = slurmJob(site, { [place.node]: { gpus: other } }, place.node);
  worker(
    site,
    neighbour,
    { node: place.node, gpus: [other] },
    {
      uses: [{ gpus: other, load: 'half', from: neighbour.start + 45 }],
    },
  );
};

/** It says in its environment that it belongs to somebody's job. */
const claims: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const [own = 0, other = 0] = place.gpus;
  const run = slurmJob(site, { [place.node]: { gpus: own } }, place.node, { start: -600 });
  worker(site, run, { node: place.node, gpus: [own] });
  const gpus = site.random.pick([own, other]);
  loose(site, place, { environment: { SLURM_JOB_ID: run.id }, uses: [{ gpus, load: 'third' }] });
};

/** In the control group of a job that nobody declared. */
const unknownJob: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const id = 90_000 + site.next();
  loose(site, place, { cgroup: `0::/system.slice/slurmstepd.scope/job_${id}/step_batch/user/task_0\n` });
};

/** In the job's control group, under another account than the job was declared for. */
const wrongUser: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const [own = 0, other = 0] = place.gpus;
  const number = site.next();
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, {
    start: -600,
    end: site.length + 900,
  });
  const uid = site.document.users?.[run.user] ?? 0;
  site.job(run.name, { ...site.document.jobs?.[run.name], uid, user: run.user });
  worker(site, run, { node: place.node, gpus: [own] });
  site.process(`stranger${number}`, {
    ...{ node: place.node, user: site.user(), job: run.name, exe: PYTHON, ...stretch(site) },
    ...{ uses: [{ gpus: other, load: 'full' }], truth: 'diverted' },
  });
};

/** Two to four seconds at a time, now and then: shorter than a poll. */
const bursts: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const every = site.second(25, 60);
  const count = Math.max(1, Math.min(15, Math.floor((site.length - 60) / every) - 1));
  const start = site.second(10, 30);
  loose(site, place, { start, end: start + site.second(1.5, 4), copies: { count, every } });
};

/** The scheduler takes a GPU back, or says afterwards that the job ended earlier; its process computes on. */
const takenBack: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const { length, random } = site;
  const [kept = 0, lost = 0] = place.gpus;
  const from = site.second(length * 0.3, length * 0.5);
  const parts = {
    [place.node]: [
      { gpus: gpusOf(place.gpus), to: from },
      { gpus: kept, from },
    ],
  };
  const late = random.chance(0.5);
  const run = slurmJob(site, late ? { [place.node]: gpusOf(place.gpus) } : parts, place.node, {
    ...{ start: -600, end: length + 900, endKnown: 0, known: 0 },
    revisions: late ? [{ at: site.second(from + 30, length), on: parts }] : [],
  });
  worker(site, run, { node: place.node, gpus: [kept] });
  worker(
    site,
    run,
    { node: place.node, gpus: [lost] },
    {
      ...{ start: -500, uses: [{ gpus: lost, load: 'full' }] },
      truth: [
        { from: -500, is: 'declared' },
        { from, is: 'diverted' },
      ],
    },
  );
};

/** A job's worker ends, and soon somebody without a job has its pid, on the same GPU. */
const pidAgain: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const pid = 400_000 + site.next();
  const until = site.second(site.length * 0.3, site.length * 0.5);
  const end = site.second(until + 1, site.length);
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, { start: -400, end });
  worker(site, run, place, { pid, start: -300, end: until });
  site.process(`again${site.next()}`, {
    ...{ node: place.node, pid, user: site.user(), exe: PYTHON, argv: [PYTHON, 'train.py'] },
    ...{ start: until + site.second(0.5, 20), truth: 'diverted' },
    uses: [{ gpus: gpusOf(place.gpus), load: 'full' }],
  });
};

/** Declared by hand, long after it had begun: what was before that stays without a declaration. */
const declaredLate: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const name = `late${site.next()}`;
  const user = site.user();
  const start = site.second(20, 60);
  const known = site.second(200, site.length * 0.6);
  site.process(`${name}-root`, {
    ...{ node: place.node, user, exe: PYTHON, start: start + 1, truthJob: name },
    uses: [{ gpus: gpusOf(place.gpus), load: 'full' }],
    truth: [
      { from: start + 1, is: 'diverted' },
      { from: start + known - DECLARATION_LEAD, is: 'declared' },
    ],
  });
  site.job(name, {
    ...{ source: 'api', account: 'speech', user, start, known, root: `${name}-root` },
    on: { [place.node]: gpusOf(place.gpus) },
  });
};

/** A declaration by hand counts from this long before it was recorded (docs/ACCOUNTING.md). */
export const DECLARATION_LEAD = 60;

export const DIVERTED_PLOTS: readonly Plot[] = [
  noJob,
  noJob,
  family,
  foreign,
  foreign,
  afterEnd,
  outside,
  claims,
  unknownJob,
  wrongUser,
  bursts,
  takenBack,
  pidAgain,
  declaredLate,
];
