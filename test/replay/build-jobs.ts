/** What sources say of a scenario's jobs, when they say it, and the kernel boundary in which each job's processes live. */
import { createHash } from 'node:crypto';
import { JobIn } from '../../api/contract/jobs.ts';
import type { SimNode } from '../simulator/model.ts';
import type { Scenario, ScenarioJob } from './format.ts';

/** A declaration as it is sent at `atMs`. */
export interface Declared {
  readonly atMs: number;
  /** Name of the job in the scenario. */
  readonly name: string;
  readonly job: JobIn;
}

/** What a source calls itself where the scenario does not matter. */
export const SOURCE_INSTANCE = 'main';

/** All jobs by name, copies as "<name> <number>". */
export function jobsOf(scenario: Scenario): ReadonlyMap<string, ScenarioJob> {
  const jobs = new Map<string, ScenarioJob>();
  for (const [name, spec] of Object.entries(scenario.jobs)) {
    if (spec.copies === undefined) jobs.set(name, spec);
    else
      for (let number = 0; number < spec.copies.count; number += 1)
        jobs.set(`${name} ${number}`, copyOf(scenario, name, spec, number, spec.copies));
  }
  return jobs;
}

function copyOf(
  scenario: Scenario,
  name: string,
  spec: ScenarioJob,
  number: number,
  { every, gpu }: NonNullable<ScenarioJob['copies']>,
): ScenarioJob {
  const laterMs = number * every;
  const further = (node: string, { gpus, from, to, ...part }: Part): Part => ({
    ...part,
    ...(gpus === undefined
      ? {}
      : { gpus: gpus.map((index) => (index + number * gpu) % (scenario.nodes[node]?.gpus.count ?? 1)) }),
    ...(from === undefined ? {} : { from: from + laterMs }),
    ...(to === undefined ? {} : { to: to + laterMs }),
  });
  return {
    ...spec,
    id: copiedId(spec.id ?? name, number),
    start: (spec.start ?? 0) + laterMs,
    ...(typeof spec.end === 'number' ? { end: spec.end + laterMs } : {}),
    on: Object.fromEntries(
      Object.entries(spec.on ?? {}).map(([node, what]) => [
        node,
        partsOf(what).map((part) => further(node, part)),
      ]),
    ),
  };
}

type Part = Exclude<NonNullable<ScenarioJob['on']>[string], 'all' | readonly unknown[]>;

/** What a job has of one node, in one form. */
function partsOf(what: NonNullable<ScenarioJob['on']>[string]): Part[] {
  if (what === 'all') return [{}];
  if (!Array.isArray(what)) return [what];
  const indexes = what.filter((one) => typeof one === 'number');
  if (indexes.length > 0) return [{ gpus: indexes }];
  return what.flatMap((one) => (typeof one === 'number' ? [] : partsOf(one)));
}

/** Tasks of an array have numbers of their own, which name their control groups. */
const copiedId = (id: string, number: number): string =>
  /^\d{1,12}$/.test(id) ? String(Number(id) + number) : `${id}_${number}`;

type Revision = Omit<ScenarioJob['revisions'][number], 'at'>;

/** All versions of all jobs, ascending by when they become known. */
export function declarationsOf(
  scenario: Scenario,
  nodes: ReadonlyMap<string, SimNode>,
  startMs: number,
  rootOf: (process: string) => JobIn['root'],
): Declared[] {
  const declared: Declared[] = [];
  for (const [name, spec] of jobsOf(scenario)) {
    const bornMs = spec.start ?? 0;
    const down = scenario.feeds[spec.source]?.down ?? [];
    const say = (whenMs: number, known: Revision): void => {
      const at = down.find(({ from, to }) => whenMs >= from && whenMs < to)?.to ?? whenMs;
      const root = spec.root === undefined ? null : rootOf(spec.root);
      declared.push({ atMs: startMs + at, name, job: jobIn(name, spec, known, nodes, startMs, root) });
    };
    const open = spec.endKnown > 0 || (spec.end ?? null) === null || bornMs + spec.known < (spec.end ?? 0);
    let known: Revision = open && spec.end !== undefined ? { ...spec, end: null } : spec;
    say(bornMs + spec.known, known);
    const own = open && typeof spec.end === 'number' ? [{ at: spec.end + spec.endKnown, end: spec.end }] : [];
    // What was said of its end before is not taken back by it.
    const ended = own.filter(
      (one) => !spec.revisions.some(({ at, end }) => at < one.at && end !== undefined),
    );
    for (const { at, ...change } of [...ended, ...spec.revisions].sort((a, b) => a.at - b.at)) {
      known = { ...known, ...change };
      say(at, known);
    }
  }
  return declared.sort((a, b) => a.atMs - b.atMs);
}

function jobIn(
  name: string,
  spec: ScenarioJob,
  known: Revision,
  nodes: ReadonlyMap<string, SimNode>,
  startMs: number,
  root: JobIn['root'],
): JobIn {
  const time = (ms: number): string => new Date(startMs + ms).toISOString();
  const boundaries = spec.boundaries ?? defaultBoundaries(name, spec);
  return JobIn.parse({
    source: spec.source,
    sourceInstance: SOURCE_INSTANCE,
    externalId: spec.id ?? name,
    incarnation: spec.incarnation,
    account: known.account ?? 'default',
    user: known.user ?? null,
    uid: known.uid ?? null,
    name: known.name ?? name,
    start: time(known.start ?? 0),
    end: typeof known.end === 'number' ? time(known.end) : null,
    allocations: Object.entries(known.on ?? {}).flatMap(([node, what]) =>
      partsOf(what).map(({ gpus, any, share = known.share, from, to }) => ({
        node,
        ...(gpus === undefined
          ? {}
          : { devices: gpus.flatMap((index) => nodes.get(node)?.devices[index]?.uuid ?? []) }),
        ...(any === undefined ? {} : { count: any }),
        ...(share === undefined ? {} : { share }),
        ...(from === undefined ? {} : { start: time(from) }),
        ...(to === undefined ? {} : { end: time(to) }),
      })),
    ),
    executables: known.executables ?? [],
    ...(boundaries === null ? {} : { boundaries }),
    root,
    ...known.says,
  });
}

const hex = (text: string, digits: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, digits);

/** A pod's uid or a container's id: as written where it is one, else made of the id. */
function podUid(id: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id;
  const digits = hex(id, 32);
  return [8, 12, 16, 20, 32].map((end, index) => digits.slice([0, 8, 12, 16, 20][index], end)).join('-');
}

const containerId = (id: string): string => (/^[0-9a-f]{64}$/.test(id) ? id : hex(id, 64));

function defaultBoundaries(name: string, spec: ScenarioJob): string[] | null {
  const id = spec.id ?? name;
  switch (spec.source) {
    case 'kubernetes':
      return [`kubernetes:${podUid(id)}`];
    case 'docker':
    case 'podman':
      return [`${spec.source}:${containerId(id)}`];
    default:
      return null;
  }
}

/** A node's part of the control group of a process. */
export interface Groups {
  readonly version: 1 | 2;
  readonly uid: number;
}

/** The control group of a job's processes; null where its source has none of its own. */
export function boundaryOf(
  name: string,
  spec: ScenarioJob,
  groups: Groups,
): { readonly cgroup: string | null } {
  if (groups.version === 1) return { cgroup: firstVersionOf(name, spec, groups.uid) };
  const id = spec.id ?? name;
  switch (spec.source) {
    case 'slurm':
      return { cgroup: `0::/system.slice/slurmstepd.scope/job_${id}/step_batch/user/task_0\n` };
    case 'kubernetes': {
      const slice = 'kubepods-burstable';
      const pod = podUid(id).replaceAll('-', '_');
      const scope = `cri-containerd-${containerId(`${id} container`)}.scope`;
      return {
        cgroup: `0::/kubepods.slice/${slice}.slice/${slice}-pod${pod}.slice/${scope}\n`,
      };
    }
    case 'docker':
      return { cgroup: `0::/system.slice/docker-${containerId(id)}.scope\n` };
    case 'podman':
      return { cgroup: `0::/machine.slice/libpod-${containerId(id)}.scope\n` };
    default:
      return { cgroup: null };
  }
}

function firstVersionOf(name: string, spec: ScenarioJob, uid: number): string | null {
  const id = spec.id ?? name;
  const everywhere = (path: string): string =>
    ['12:memory', '8:cpuset', '6:freezer', '4:devices', '1:name=systemd']
      .map((controller) => `${controller}:${path}\n`)
      .join('');
  switch (spec.source) {
    case 'slurm': {
      const step = `/slurm/uid_${uid}/job_${id}/step_batch`;
      const own = `12:memory:${step}/task_0\n8:cpuset:${step}\n6:freezer:${step}\n4:devices:${step}\n`;
      return `${own}1:name=systemd:/system.slice/slurmd.service\n`;
    }
    case 'kubernetes':
      return everywhere(`/kubepods/burstable/pod${podUid(id)}/${containerId(`${id} container`)}`);
    case 'docker':
      return everywhere(`/docker/${containerId(id)}`);
    case 'podman':
      return everywhere(`/machine.slice/libpod-${containerId(id)}.scope`);
    default:
      return null;
  }
}
