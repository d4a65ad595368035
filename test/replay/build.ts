/** From a scenario to what is played: simulated nodes, declarations with the moment at which each becomes known, the truth. */
import type { JobIn } from '../../api/contract/jobs.ts';
import { addProcess, type DeviceUse, type Load, type SimNode, type SimProcess } from '../simulator/model.ts';
import { boundaryOf, type Declared, declarationsOf, jobsOf } from './build-jobs.ts';
import { buildNode } from './build-nodes.ts';
import { imagesOf, socketsOf } from './build-processes.ts';
import type { Scenario, ScenarioJob, ScenarioProcess, Truth } from './format.ts';

/** From then on a process computes for this. */
export interface TruthSpan {
  readonly fromMs: number;
  readonly is: Truth;
  /** Name of the job in the scenario; null: none. */
  readonly job: string | null;
}

/** A node between two of its starts. */
export interface Boot {
  readonly node: SimNode;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Built {
  readonly scenario: Scenario;
  readonly startMs: number;
  readonly endMs: number;
  /** As they are at the start. */
  readonly nodes: ReadonlyMap<string, SimNode>;
  /** Ascending, at least one of each node. */
  readonly boots: ReadonlyMap<string, readonly Boot[]>;
  readonly declarations: readonly Declared[];
  readonly truths: ReadonlyMap<SimProcess, readonly TruthSpan[]>;
}

/** A name in a scenario that nothing there has. The message names the place. */
export class ScenarioError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ScenarioError';
  }
}

const FIRST_PID = 20_000;
/** Of ancestors: a process may be named as its own. */
const MAX_ANCESTORS = 64;
const PID_STEP = 7;

/** Throws `ScenarioError` where a name is not there. */
export function build(scenario: Scenario): Built {
  const startMs = Date.parse(scenario.start);
  const boots = new Map<string, Boot[]>();
  const nodes = new Map<string, SimNode>();
  for (const [index, name] of Object.keys(scenario.nodes).entries()) {
    const own = bootsOf(scenario, name, index, startMs);
    boots.set(name, own);
    for (const { node } of own.slice(0, 1)) nodes.set(name, node);
  }
  const truths = new Map<SimProcess, readonly TruthSpan[]>();
  const jobs = jobsOf(scenario);
  const copies = Object.entries(scenario.processes)
    .flatMap(([name, spec]) => copiesOf(jobs, name, spec))
    .sort((a, b) => a.spec.start - b.spec.start);
  const pids = pidsOf(copies);
  for (const copy of copies) {
    const boot = bootOf(boots, copy, startMs);
    const process = buildProcess(scenario, jobs, boot, copy, pids, startMs);
    addProcess(boot.node, process);
    truths.set(process, truthOf(copy, workFor(copy, copies, jobs), startMs));
  }
  return {
    ...{ scenario, startMs, endMs: startMs + scenario.length, nodes, boots, truths },
    declarations: declarationsOf(scenario, nodes, startMs, (name) =>
      rootOf(boots, copies, pids, name, startMs),
    ),
  };
}

function bootsOf(scenario: Scenario, name: string, index: number, startMs: number): Boot[] {
  const spec = scenario.nodes[name];
  if (spec === undefined) return [];
  const boots: Boot[] = [];
  let bootMs = startMs + spec.booted;
  const reboots = scenario.faults.filter(
    (fault) => fault.kind === 'reboot' && (fault.node === name || (fault.node === undefined && index === 0)),
  );
  const ends = reboots
    .flatMap((fault) => (fault.kind === 'reboot' ? [fault] : []))
    .sort((a, b) => a.at - b.at);
  for (const number of [...ends.keys(), ends.length]) {
    const next = ends[number];
    const toMs = startMs + (next?.at ?? scenario.length + AFTERWARDS_MS);
    if (toMs < bootMs)
      throw new ScenarioError(`faults: ${name} is down when it is to reboot; let it come up before`);
    const node = buildNode(scenario, name, spec, index, startMs, { number, ms: bootMs });
    boots.push({ node, fromMs: number === 0 ? startMs : bootMs, toMs });
    if (next !== undefined) bootMs = toMs + next.for;
  }
  return boots;
}

/** Longer than anything is played on. */
const AFTERWARDS_MS = 86_400_000;

/** The boot that a process lives in. */
function bootOf(boots: ReadonlyMap<string, readonly Boot[]>, { name, spec }: Copy, startMs: number): Boot {
  const own = boots.get(spec.node ?? [...boots.keys()][0] ?? '');
  if (own === undefined) throw new ScenarioError(`processes.${name}.node: nodes has no ${spec.node}`);
  const boot = own.find(({ toMs }) => startMs + spec.start < toMs);
  if (boot === undefined || boot.node.bootMs > startMs + spec.start)
    throw new ScenarioError(`processes.${name}.start: its node is down then; give it a start when it is up`);
  return boot;
}

interface Copy {
  readonly name: string;
  readonly spec: ScenarioProcess;
  /** 0 for the first. */
  readonly number: number;
}

/** A process and its copies: later by `every`, further by `gpu` devices. */
function copiesOf(jobs: ReadonlyMap<string, ScenarioJob>, name: string, spec: ScenarioProcess): Copy[] {
  const { count, every, gpu } = spec.copies ?? { count: 1, every: 0, gpu: 0 };
  return Array.from({ length: count }, (_, number) => {
    const laterMs = number * every;
    const later = <T extends { from?: number | undefined; to?: number | undefined }>(one: T): T => ({
      ...one,
      ...(one.from === undefined ? {} : { from: one.from + laterMs }),
      ...(one.to === undefined ? {} : { to: one.to + laterMs }),
    });
    const moved: ScenarioProcess = {
      ...spec,
      start: spec.start + laterMs,
      ...(spec.job === undefined ? {} : { job: jobs.has(spec.job) ? spec.job : `${spec.job} ${number}` }),
      ...(spec.end === undefined ? {} : { end: spec.end + laterMs }),
      ...(spec.pid === undefined ? {} : { pid: spec.pid + number }),
      changes: spec.changes.map((change) => ({ ...change, at: change.at + laterMs })),
      uses: spec.uses.map((use) => ({ ...later(use), gpus: use.gpus.map((index) => index + number * gpu) })),
      sockets: spec.sockets.map(later),
    };
    return { name, spec: moved, number };
  });
}

/** The pid of every copy: as written, else ascending by start. */
function pidsOf(copies: readonly Copy[]): ReadonlyMap<string, number> {
  const pids = new Map<string, number>();
  const taken = new Set(copies.flatMap(({ spec }) => spec.pid ?? []));
  let next = FIRST_PID;
  for (const { name, spec, number } of copies) {
    if (spec.pid === undefined) {
      do next += PID_STEP;
      while (taken.has(next));
      pids.set(`${name} ${number}`, next);
    } else pids.set(`${name} ${number}`, spec.pid);
  }
  return pids;
}

/** The pid of a parent: the copy of the same number where it has as many, else its first. */
function parentPid(pids: ReadonlyMap<string, number>, copy: Copy): number {
  const { parent } = copy.spec;
  if (parent === undefined) return 1;
  const pid = pids.get(`${parent} ${copy.number}`) ?? pids.get(`${parent} 0`);
  if (pid === undefined)
    throw new ScenarioError(`processes.${copy.name}.parent: no process is named ${parent}`);
  return pid;
}

function buildProcess(
  scenario: Scenario,
  jobs: ReadonlyMap<string, ScenarioJob>,
  { node, toMs: downMs }: Boot,
  copy: Copy,
  pids: ReadonlyMap<string, number>,
  startMs: number,
): SimProcess {
  const { name, spec } = copy;
  const bornMs = startMs + spec.start;
  const uid = spec.user === 'root' ? 0 : scenario.users[spec.user];
  if (uid === undefined) throw new ScenarioError(`processes.${name}.user: users has no ${spec.user}`);
  const version = scenario.nodes[node.name]?.cgroups ?? 2;
  const cgroupAt = (place: { job?: string | undefined; cgroup?: string | undefined }): string | null => {
    if (place.cgroup !== undefined) return place.cgroup;
    if (place.job === undefined) return null;
    return boundaryOf(place.job, jobOf(jobs, place.job, name), { version, uid }).cgroup;
  };
  const prefix = version === 1 ? '1:name=systemd:' : '0::';
  const elsewhere =
    uid === 0 ? '/system.slice/cron.service' : `/user.slice/user-${uid}.slice/session-${uid % 97}.scope`;
  const cgroups = [
    { fromMs: bornMs, text: cgroupAt(spec) ?? `${prefix}${elsewhere}\n` },
    ...spec.changes.flatMap((change) => {
      const text = cgroupAt(change);
      return text === null ? [] : [{ fromMs: startMs + change.at, text }];
    }),
  ];
  return {
    pid: pids.get(`${name} ${copy.number}`) ?? 0,
    startMs: bornMs,
    // Everything ends with the scenario; the books are played on a little, until every record has come.
    endMs: Math.min(startMs + Math.min(spec.end ?? scenario.length, scenario.length), downMs),
    ppid: parentPid(pids, copy),
    uid,
    loginUid: spec.session && uid !== 0 ? uid : null,
    netNamespace: spec.namespace ?? 4_026_531_840,
    ...(spec.userNamespace === undefined ? {} : { userNamespace: spec.userNamespace }),
    innerPid: spec.innerPid ?? null,
    images: imagesOf({ ...spec, environment: environmentOf(jobs, spec) }, bornMs, startMs),
    cgroups,
    uses: spec.uses.flatMap((use) =>
      use.gpus.map((index): DeviceUse => {
        const load = loadOf(scenario, use.load, name);
        return {
          device: index % node.devices.length,
          fromMs: Math.max(bornMs, startMs + (use.from ?? spec.start)),
          toMs: use.to === undefined ? null : startMs + use.to,
          memoryMiB: load.memoryMiB,
          load: load.load,
          type: use.type,
          ...(load.watts === undefined ? {} : { watts: load.watts }),
          ...(use.instance === undefined
            ? {}
            : { gpuInstance: use.instance.gpu, computeInstance: use.instance.compute }),
        };
      }),
    ),
    sockets: socketsOf(spec.sockets, name, copy.number, bornMs, startMs),
    ...(spec.opens === undefined ? {} : { opens: spec.opens }),
    ...(spec.hidden === undefined ? {} : { hidden: spec.hidden }),
    ...(spec.state === 'S' ? {} : { state: spec.state }),
    cover: null,
  };
}

/** What a scheduler puts into the environment of a job's processes, unless the scenario says otherwise. */
function environmentOf(
  jobs: ReadonlyMap<string, ScenarioJob>,
  { job: name, environment }: ScenarioProcess,
): ScenarioProcess['environment'] {
  const job = name === undefined ? undefined : jobs.get(name);
  if (name === undefined || job?.source !== 'slurm') return environment;
  const id = job.id ?? name;
  return { SLURM_JOB_ID: id, SLURM_JOBID: id, ...environment };
}

function loadOf(
  scenario: Scenario,
  key: string,
  process: string,
): { load: Load; memoryMiB: number; watts: number | undefined } {
  const spec = scenario.loads[key];
  if (spec === undefined) throw new ScenarioError(`processes.${process}.uses: loads has no ${key}`);
  const phases = spec.phases ?? [{ for: 1000, sm: spec.sm ?? 0 }];
  return {
    memoryMiB: spec.memory,
    watts: spec.watts,
    load: {
      phases: phases.map((phase) => ({ lengthMs: phase.for, smPercent: phase.sm })),
      jitterPercent: spec.jitter,
      seed: [...`${scenario.id} ${key}`].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) % 65_521, 7),
    },
  };
}

function jobOf(jobs: ReadonlyMap<string, ScenarioJob>, name: string, where: string): ScenarioJob {
  const job = jobs.get(name);
  if (job === undefined) throw new ScenarioError(`processes.${where}.job: jobs has no ${name}`);
  return job;
}

/** The job that a process computes for unless it is said: its own, that whose root it is, or else that of its parent. */
function workFor(
  { name, spec, number }: Copy,
  copies: readonly Copy[],
  jobs: ReadonlyMap<string, ScenarioJob>,
  ancestors = 0,
): string | null {
  const own = spec.truthJob ?? spec.job ?? [...jobs].find(([, { root }]) => root === name)?.[0];
  if (own !== undefined) return own;
  const parents = copies.filter((other) => other.name === spec.parent);
  const parent = parents.find((other) => other.number === number) ?? parents[0];
  if (parent === undefined || ancestors === MAX_ANCESTORS) return null;
  return workFor(parent, copies, jobs, ancestors + 1);
}

function truthOf({ name, spec }: Copy, job: string | null, startMs: number): TruthSpan[] {
  const spans = typeof spec.truth === 'string' ? [{ from: spec.start, is: spec.truth }] : spec.truth;
  if (job === null && spec.uses.length > 0 && spans.some(({ is }) => is === 'declared'))
    throw new ScenarioError(
      `processes.${name}.truth: it computes for no job that is named; say truthJob, or truth: diverted or overhead`,
    );
  return spans.map(({ from, is }) => ({ fromMs: startMs + from, is, job: is === 'declared' ? job : null }));
}

function rootOf(
  boots: ReadonlyMap<string, readonly Boot[]>,
  copies: readonly Copy[],
  pids: ReadonlyMap<string, number>,
  name: string,
  startMs: number,
): JobIn['root'] {
  const copy = copies.find((one) => one.name === name && one.number === 0);
  if (copy === undefined) throw new ScenarioError(`jobs: no process is named ${name}`);
  const { node } = bootOf(boots, copy, startMs);
  const process = node.processes.find((one) => one.pid === pids.get(`${name} 0`));
  if (process === undefined) return null;
  const ticks = Math.round((process.startMs - node.bootMs) / 10);
  return { node: node.name, bootId: node.bootId, pid: process.pid, startTicks: ticks };
}
