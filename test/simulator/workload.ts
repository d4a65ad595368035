/**
 * The jobs of a simulated site: people submit by day more than by night, a scheduler gives them free devices, and what
 * the plan reserves for stories stays free of them. Nothing here knows about processes.
 */
import type { Shape } from './load-shapes.ts';
import type { Random } from './random.ts';
import { PEOPLE, type Scheduler, type SiteNode, type SitePerson } from './site-nodes.ts';

interface Placement {
  readonly node: SiteNode;
  /** Ascending device indices. */
  readonly devices: readonly number[];
}

export interface SimJob {
  readonly source: Scheduler;
  readonly externalId: string;
  readonly name: string;
  readonly person: SitePerson;
  readonly startMs: number;
  readonly endMs: number;
  readonly placements: readonly Placement[];
  readonly shape: Shape;
  /** The interpreter or server that computes. */
  readonly executable: string;
  readonly argv: readonly string[];
  /** What the declaration says it runs; empty: nothing. */
  readonly declares: readonly string[];
}

/** A device that the scheduler must leave alone. */
export interface Reservation {
  readonly node: SiteNode;
  readonly device: number;
  readonly fromMs: number;
  readonly toMs: number;
}

interface Kind {
  readonly source: Scheduler;
  readonly names: readonly string[];
  readonly shape: Shape;
  /** Whole nodes for 8 and more. */
  readonly devices: number;
  readonly hours: number;
  /** Submissions an hour for every 64 devices of the scheduler, averaged over a week. */
  readonly hourly: number;
  /** People submit it; a pipeline does not know the hour. */
  readonly byDay: boolean;
  readonly executable: string;
  readonly argv: readonly string[];
  readonly declared: number;
}

const TORCH = '/shared/envs/torch-2.8/bin/python3.11';
const JAX = '/shared/envs/jax-0.7/bin/python3.12';
const kind = (source: Scheduler, shape: Shape, rest: Omit<Kind, 'source' | 'shape'>): Kind => ({
  source,
  shape,
  ...rest,
});

const KINDS: readonly Kind[] = [
  kind('slurm', 'training', {
    ...{
      names: ['pretrain-7b', 'pretrain-moe', 'weather-foundation'],
      devices: 16,
      hours: 20,
      hourly: 0.053,
    },
    ...{ byDay: false, executable: TORCH, argv: ['train.py', '--config', 'pretrain.yaml'], declared: 0.8 },
  }),
  kind('slurm', 'training', {
    ...{ names: ['sft-13b', 'vit-large', 'protein-lm'], devices: 8, hours: 9, hourly: 0.195 },
    ...{ byDay: true, executable: TORCH, argv: ['train.py', '--config', 'sft.yaml'], declared: 0.5 },
  }),
  kind('slurm', 'training', {
    ...{ names: ['detector', 'downscaling', 'policy-ppo'], devices: 4, hours: 6, hourly: 0.45 },
    ...{ byDay: true, executable: JAX, argv: ['-m', 'experiment.train'], declared: 0.3 },
  }),
  kind('slurm', 'small', {
    ...{ names: ['finetune-lora', 'segment-ft', 'basecalling'], devices: 2, hours: 3, hourly: 1.35 },
    ...{ byDay: true, executable: TORCH, argv: ['finetune.py', '--lora'], declared: 0.2 },
  }),
  kind('slurm', 'small', {
    ...{ names: ['sweep', 'ablation', 'inference-batch'], devices: 1, hours: 2.2, hourly: 2.55 },
    ...{ byDay: true, executable: TORCH, argv: ['run.py', '--trial'], declared: 0 },
  }),
  kind('slurm', 'interactive', {
    ...{ names: ['interactive', 'jupyter'], devices: 1, hours: 4, hourly: 0.9 },
    ...{ byDay: true, executable: JAX, argv: ['-m', 'ipykernel_launcher'], declared: 0 },
  }),
  kind('kubernetes', 'serving', {
    ...{ names: ['chat-gateway', 'embeddings', 'reranker'], devices: 2, hours: 70, hourly: 0.135 },
    ...{
      byDay: false,
      executable: '/opt/venv/bin/python3',
      argv: ['-m', 'vllm.entrypoints.openai.api_server'],
    },
    declared: 1,
  }),
  kind('kubernetes', 'small', {
    ...{ names: ['feature-extract', 'tile-render', 'reco-train'], devices: 2, hours: 4, hourly: 2.4 },
    ...{ byDay: true, executable: '/usr/bin/python3.10', argv: ['/app/main.py'], declared: 0.4 },
  }),
  kind('kubernetes', 'interactive', {
    ...{ names: ['notebook'], devices: 1, hours: 6, hourly: 1.5 },
    ...{
      byDay: true,
      executable: '/opt/conda/bin/python3.12',
      argv: ['-m', 'ipykernel_launcher'],
      declared: 0,
    },
  }),
  kind('kubernetes', 'evaluation', {
    ...{ names: ['nightly-eval', 'regression-eval'], devices: 1, hours: 1, hourly: 2.7 },
    ...{ byDay: false, executable: '/usr/bin/python3.10', argv: ['/app/evaluate.py'], declared: 0.5 },
  }),
];

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** The scheduler looks at its queue this often. */
const STEP_MS = 5 * MINUTE_MS;
/** Who waited longer gave up. */
const PATIENCE_MS = 6 * HOUR_MS;
const NODE_DEVICES = 8;
const FIRST_SLURM_ID = 8102;

interface Waiting {
  readonly kind: Kind;
  readonly sinceMs: number;
  readonly durationMs: number;
}

/** Jobs in order of their start, from `fromMs` on; those that run at `toMs` end after it. */
export function planJobs(
  random: Random,
  nodes: readonly SiteNode[],
  fromMs: number,
  toMs: number,
  reserved: readonly Reservation[],
): SimJob[] {
  const devices = createDeviceCalendar(nodes, reserved);
  const jobs: SimJob[] = [];
  let queue: Waiting[] = [];
  let slurmId = FIRST_SLURM_ID;
  // The site is not empty when its history begins.
  for (let atMs = fromMs - 12 * HOUR_MS; atMs < toMs; atMs += STEP_MS) {
    for (const candidate of KINDS) {
      const capacity = nodes.filter((node) => node.scheduler === candidate.source).length * NODE_DEVICES;
      const expected = candidate.hourly * (capacity / 64) * (STEP_MS / HOUR_MS) * rhythm(candidate, atMs);
      if (!random.chance(expected)) continue;
      const hours = Math.min(candidate.hours * 2.5, Math.max(0.2, candidate.hours * random.exponential()));
      queue.push({ kind: candidate, sinceMs: atMs, durationMs: Math.round(hours * HOUR_MS) });
    }
    queue = queue.filter((waiting) => {
      const startMs = Math.max(fromMs + 1000, atMs + random.integer(0, STEP_MS - 1));
      const placements = devices.take(waiting.kind, startMs, startMs + waiting.durationMs);
      if (placements === null) return atMs - waiting.sinceMs < PATIENCE_MS;
      const externalId = waiting.kind.source === 'slurm' ? String(slurmId++) : random.uuid();
      jobs.push(planned(random, waiting.kind, externalId, startMs, waiting.durationMs, placements));
      return false;
    });
  }
  return jobs.sort((a, b) => a.startMs - b.startMs);
}

function planned(
  random: Random,
  of: Kind,
  externalId: string,
  startMs: number,
  durationMs: number,
  placements: readonly Placement[],
): SimJob {
  return {
    source: of.source,
    externalId,
    name: random.pick(of.names),
    person: random.pick(PEOPLE.filter(({ name }) => name !== 'rlagent')),
    startMs,
    endMs: startMs + durationMs,
    placements,
    shape: of.shape,
    executable: of.executable,
    argv: [of.executable, ...of.argv],
    declares: random.chance(of.declared) ? [of.executable] : [],
  };
}

/** Mean near 1 over a week: busy afternoons, quiet nights, half of it at weekends. */
function rhythm(of: Kind, atMs: number): number {
  if (!of.byDay) return 1;
  const date = new Date(atMs);
  const weekend = date.getUTCDay() % 6 === 0 ? 0.5 : 1.2;
  return weekend * (1 + 0.75 * Math.sin(((date.getUTCHours() - 8) / 24) * 2 * Math.PI));
}

/** Takes the node with the fewest devices left over; lowest indices first, as schedulers do. */
function createDeviceCalendar(
  nodes: readonly SiteNode[],
  reserved: readonly Reservation[],
): { take(of: Kind, fromMs: number, toMs: number): Placement[] | null } {
  const taken = new Map<SiteNode, { device: number; fromMs: number; toMs: number }[]>();
  for (const node of nodes) taken.set(node, []);
  for (const { node, ...span } of reserved) taken.get(node)?.push(span);

  const free = (node: SiteNode, fromMs: number, toMs: number): number[] => {
    const busy = new Set<number>();
    for (const span of taken.get(node) ?? [])
      if (span.fromMs < toMs && fromMs < span.toMs) busy.add(span.device);
    return node.devices.map(({ index }) => index).filter((index) => !busy.has(index));
  };

  return {
    take(of, fromMs, toMs) {
      const whole = Math.ceil(of.devices / NODE_DEVICES);
      const each = Math.min(of.devices, NODE_DEVICES);
      const able = nodes
        .filter((node) => node.scheduler === of.source)
        .map((node) => ({ node, devices: free(node, fromMs, toMs) }))
        .filter(({ devices }) => devices.length >= each)
        .sort((a, b) => a.devices.length - b.devices.length);
      if (able.length < whole) return null;
      return able.slice(0, whole).map(({ node, devices }) => {
        const given = devices.slice(0, each);
        for (const device of given) taken.get(node)?.push({ device, fromMs, toMs });
        return { node, devices: given };
      });
    },
  };
}
