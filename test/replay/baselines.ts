/**
 * Seven naive ways to say who used a GPU, as sites and tools have them today. Each gets what a collector without faults
 * would have read at every poll, and what was declared by the end; none of the product's code.
 */
import type { JobIn } from '../../api/contract/jobs.ts';
import { latest, type SimProcess, within } from '../simulator/model.ts';
import { createNodeView, type DeviceState } from '../simulator/snapshot.ts';
import type { Boot, Built } from './build.ts';
import { truthAt } from './truth.ts';

export const BASELINES = {
  A1: 'what is allocated is used',
  A2: 'allocated, and utilisation above zero',
  A3: "process → user → that user's job on the node",
  A4: 'process → job id in its environment',
  A5: 'process → control group → job',
  A6: 'names and arguments of known miners',
  A7: 'shape of the load: mean above 92 %, deviation below 3.1',
} as const;
export type BaselineName = keyof typeof BASELINES;

/** In GPU-milliseconds. */
export interface BaselineScore {
  /** Said to be nobody's or not to be what was declared; and of that, what was really diverted. */
  readonly claimedMs: number;
  readonly rightMs: number;
  /** Diverted computing that a job was charged with. */
  readonly chargedMs: number;
}

/** What one of them says of a process on a device at a poll. */
type Opinion = 'claims' | 'charges' | 'nothing';

interface Declaration {
  readonly job: JobIn;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A tenant at a poll, with everything that is to be seen of it. */
interface Sight {
  readonly atMs: number;
  readonly node: string;
  readonly device: DeviceState;
  readonly process: SimProcess;
  readonly user: string | null;
  readonly running: readonly Declaration[];
}

const holds = ({ job }: Declaration, node: string, device: string): boolean =>
  job.allocations.some((one) => one.node === node && (one.devices?.includes(device) ?? true));
const isHeld = ({ running, node, device }: Sight): boolean =>
  running.some((declaration) => holds(declaration, node, device.device.uuid));

const ENVIRONMENT = /^(?:SLURM_JOB_ID|SLURM_JOBID|RAY_JOB_ID|PBS_JOBID|LSB_JOBID)=(.*)$/;
const jobsIn = (text: string): string[] => {
  const pod = /pod([0-9a-f]{8}[-_][0-9a-f_-]{27})/.exec(text)?.[1]?.replaceAll('_', '-');
  const found = [/job_(\w+)/.exec(text)?.[1], pod, /(?:docker|libpod)[-/]([0-9a-f]{64})/.exec(text)?.[1]];
  return found.filter((one) => one !== undefined);
};

const NAMES =
  /(?:^|\/)(?:xmrig|xmr-stak|minerd|t-rex|trex|excavator|(?:cpu|eth|nb|lol|g|phoenix|teamred|cg|bfg|cc|b)?miner)(?:$|[^a-z])/i;
const ARGUMENTS =
  /stratum2?\+(?:tcp|ssl)|--donate-level|--algo\b|--coin\b|--nicehash|kawpow|ethash|randomx|minergate|nanopool/i;

const isNamed = ({ process, atMs }: Sight): boolean => {
  const { exePath, argv } = latest(process.images, atMs);
  return NAMES.test(exePath) || argv.some((word) => NAMES.test(word) || ARGUMENTS.test(word));
};

const names = (sight: Sight, ids: readonly string[]): Opinion =>
  sight.running.some(({ job }) => ids.includes(job.externalId)) ? 'charges' : 'claims';

const ASKED = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6'] as const;

/** The first two tell of no process, and of what nobody holds nothing either. */
const OPINIONS: Readonly<Record<(typeof ASKED)[number], (sight: Sight) => Opinion>> = {
  A1: (sight) => (isHeld(sight) ? 'charges' : 'nothing'),
  A2: (sight) => (isHeld(sight) && sight.device.utilisationPercent > 0 ? 'charges' : 'nothing'),
  A3: ({ running, node, user }) =>
    running.some(
      ({ job }) => user !== null && job.user === user && job.allocations.some((one) => one.node === node),
    )
      ? 'charges'
      : 'claims',
  A4: (sight) => {
    const { environ } = latest(sight.process.images, sight.atMs);
    return names(
      sight,
      environ.flatMap((entry) => ENVIRONMENT.exec(entry)?.[1] ?? []),
    );
  },
  A5: (sight) => names(sight, jobsIn(latest(sight.process.cgroups, sight.atMs).text)),
  A6: (sight) => (isNamed(sight) ? 'claims' : isHeld(sight) ? 'charges' : 'nothing'),
};

/** Polls over which the shape of a load is taken. */
const SHAPE_POLLS = 20;
const SHAPE_MEAN = 92;
const SHAPE_DEVIATION = 3.1;

export function scoreBaselines(built: Built): Record<BaselineName, BaselineScore> {
  const sums = { A1: zero(), A2: zero(), A3: zero(), A4: zero(), A5: zero(), A6: zero(), A7: zero() };
  const declarations = finalOf(built);
  for (const boots of built.boots.values())
    for (const boot of boots) {
      const shapes = new Map<string, Shape>();
      for (const { atMs, devices } of polls(built, boot))
        for (const device of devices) look(built, boot, declarations, device, atMs, shapes, sums);
      for (const shape of shapes.values()) judge(shape, sums.A7);
    }
  return sums;
}

type Sums = { -readonly [K in keyof BaselineScore]: number };
const zero = (): Sums => ({ claimedMs: 0, rightMs: 0, chargedMs: 0 });

interface Shape {
  readonly levels: number[];
  claimedMs: number;
  rightMs: number;
  held: boolean;
}

function look(
  built: Built,
  { node }: Boot,
  declarations: readonly Declaration[],
  device: DeviceState,
  atMs: number,
  shapes: Map<string, Shape>,
  sums: Record<BaselineName, Sums>,
): void {
  const { uuid } = device.device;
  const running = declarations.filter((one) => within(one, atMs));
  const shape = shapes.get(uuid) ?? { levels: [], claimedMs: 0, rightMs: 0, held: false };
  shapes.set(uuid, shape);
  shape.levels.push(device.utilisationPercent);
  shape.held ||= running.some((one) => holds(one, node.name, uuid));
  for (const { process, smPercent } of device.tenants) {
    const ms = (smPercent * built.scenario.poll) / 100;
    const diverted = truthAt(built.truths.get(process), atMs).is === 'diverted';
    const user = node.users.find(({ uid }) => uid === process.uid)?.name ?? null;
    const sight = { atMs, node: node.name, device, process, user, running };
    for (const name of ASKED) add(sums[name], OPINIONS[name](sight), ms, diverted);
    shape.claimedMs += ms;
    if (diverted) shape.rightMs += ms;
  }
  if (shape.levels.length >= SHAPE_POLLS) {
    judge(shape, sums.A7);
    shapes.delete(uuid);
  }
}

function add(sum: Sums, opinion: Opinion, ms: number, diverted: boolean): void {
  if (opinion === 'claims') {
    sum.claimedMs += ms;
    if (diverted) sum.rightMs += ms;
  } else if (opinion === 'charges' && diverted) sum.chargedMs += ms;
}

function judge({ levels, claimedMs, rightMs, held }: Shape, sum: Sums): void {
  const mean = levels.reduce((total, level) => total + level, 0) / levels.length;
  const spread = levels.reduce((total, level) => total + (level - mean) ** 2, 0) / levels.length;
  if (mean > SHAPE_MEAN && Math.sqrt(spread) < SHAPE_DEVIATION) {
    sum.claimedMs += claimedMs;
    sum.rightMs += rightMs;
  } else if (held) sum.chargedMs += rightMs;
}

/** What each device shows at every poll at which an agent could have asked, and the device answered. */
function* polls({ scenario, startMs, endMs }: Built, { node, fromMs, toMs }: Boot) {
  const view = createNodeView(node);
  const away = scenario.faults.flatMap((fault) =>
    fault.kind === 'agent_killed' || fault.kind === 'agent_stopped' || fault.kind === 'agent_frozen'
      ? fault.node === undefined || fault.node === node.name
        ? [{ fromMs: startMs + fault.from, toMs: startMs + fault.to }]
        : []
      : [],
  );
  for (let atMs = startMs + scenario.poll; atMs <= endMs; atMs += scenario.poll) {
    // At the very end everything has ended.
    const seenMs = Math.min(atMs, endMs - 1);
    if (seenMs < fromMs || seenMs >= toMs || away.some((span) => within(span, seenMs))) continue;
    if (node.toolFaults.some((fault) => within(fault, seenMs))) continue;
    yield { atMs: seenMs, devices: view.at(seenMs).devices.filter(({ fault }) => fault === null) };
  }
}

/** The last version of every job. */
function finalOf({ declarations }: Built): Declaration[] {
  const last = new Map<string, JobIn>();
  for (const { name, job } of declarations) last.set(name, job);
  return [...last.values()].map((job) => ({
    job,
    fromMs: Date.parse(job.start),
    toMs: job.end === null ? Number.POSITIVE_INFINITY : Date.parse(job.end),
  }));
}
