/** From a run of a Slurm job to its declaration. */
import { attributesOf } from '../attributes.ts';
import type { Declaration } from '../source.ts';
import type { NodeGres, TresCounts } from './gres.ts';
import type { RowProblem, SlurmJob } from './job.ts';

interface AllocationIn {
  readonly node: string;
  readonly indices?: readonly number[];
  readonly count?: number;
  readonly share?: number;
}

/** What is known of a node beside its jobs. */
export interface NodeResources {
  readonly gpus: number;
  readonly shards: number;
  readonly mps: number;
}

export interface Terms {
  readonly cluster: string;
  /** Jobs without an account are declared for this one. */
  readonly noAccount: string;
  /** Whether Slurm's indices are the devices' minor numbers on this site. */
  readonly indicesAreMinors: boolean;
  /** node1 is declared where Slurm says node1.example.org. */
  readonly shortNodeNames: boolean;
  readonly nodes: ReadonlyMap<string, NodeResources>;
}

const MAX_NAME = 1024;
const MAX_ALLOCATIONS = 4096;
/** Devices of one node. */
const MAX_DEVICES = 64;

/** What a run declares, and what of it had to be left out or guessed. */
export interface Declared {
  readonly declaration: Declaration;
  readonly problems: readonly RowProblem[];
}

/** `shown`: the gres of a run whose row does not say it any more, as it was seen while it ran. */
export function declarationOf(job: SlurmJob, terms: Terms, shown: SlurmJob['gres'] = null): Declared {
  const problems: RowProblem[] = [];
  const subject = `job ${job.jobId}`;
  const complain = (message: string): void => void problems.push({ subject, message });
  const gres = job.gres ?? (shown?.length === job.nodes.length ? shown : null);
  const wanted = gres === null ? byCounts(job, terms, complain) : byNode(job, gres, terms);
  if (wanted.length > MAX_ALLOCATIONS)
    complain(`has devices on more than ${MAX_ALLOCATIONS} nodes: the first ones are declared`);
  const externalId = String(job.jobId);
  const boundaries = [`slurm:${externalId}`, ...(job.sluid === null ? [] : [`slurm-sluid:${job.sluid}`])];
  const declaration: Declaration = {
    ...{
      source: 'slurm',
      sourceInstance: terms.cluster,
      externalId,
      incarnation: Math.floor(job.submitMs / 1000),
    },
    // Whoever has seen the devices while it ran knows better.
    partial: gres === null,
    account: nameOf(job.account) ?? terms.noAccount,
    ...{ user: nameOf(job.user), uid: uidOf(job.uid), name: cleaned(job.name ?? '').slice(0, MAX_NAME) },
    start: timeText(job.startMs),
    end: job.endMs === null ? null : timeText(job.endMs),
    allocations: wanted
      .slice(0, MAX_ALLOCATIONS)
      .map((one) => (terms.shortNodeNames ? { ...one, node: shortName(one.node) } : one)),
    boundaries,
    attributes: attributesOf([
      ...([
        ['partition', job.partition],
        ['qos', job.qos],
        ['comment', job.comment],
      ] as const),
      ...([
        ['reservation', job.reservation],
        ['array', job.array],
        ['het', job.het],
      ] as const),
      ['restarts', job.restarts === null || job.restarts === 0 ? null : String(job.restarts)],
      ['suspended', job.suspended ? 'yes' : null],
      ['command', job.command],
    ]),
  };
  return { declaration, problems };
}

/** Up to the first dot. */
export const shortName = (name: string): string => name.split('.', 1)[0] ?? name;

const timeText = (ms: number): string => new Date(ms).toISOString();

/** Control characters and halves of characters, which the service takes nowhere, become `?`. */
const cleaned = (text: string): string => text.replace(/[\p{Cc}\p{Cs}]/gu, '?');

const MAX_NAME_CHARS = 253;

function nameOf(text: string | null): string | null {
  const name = cleaned(text ?? '')
    .trim()
    .slice(0, MAX_NAME_CHARS)
    .trim();
  return name === '' ? null : name;
}

const uidOf = (uid: number | null): number | null =>
  uid !== null && Number.isInteger(uid) && uid < 2 ** 32 ? uid : null;

/** From what the controller says of each node while the job runs. */
function byNode(job: SlurmJob, gres: readonly (readonly NodeGres[])[], terms: Terms): AllocationIn[] {
  return job.nodes.flatMap((node, at) => (gres[at] ?? []).flatMap((one) => onNode(node, one, terms)));
}

function onNode(node: string, gres: NodeGres, terms: Terms): AllocationIn[] {
  if (gres.kind === 'mig') return gres.slices === null ? [] : [instances(node, gres.count, gres.slices)];
  const indices = terms.indicesAreMinors ? gres.indices : null;
  if (gres.kind === 'gpu')
    return [
      indices === null ? { node, count: Math.min(gres.count, MAX_DEVICES) } : { node, indices: [...indices] },
    ];
  const perDevice = partsPerDevice(gres.kind, terms.nodes.get(node));
  const { shares } = gres;
  if (indices !== null && shares !== null)
    return indices.map((index, at) => ({ node, indices: [index], ...shareOf(shares[at] ?? 1000) }));
  const devices = Math.max(1, indices?.length ?? 0);
  const share = perDevice === null ? {} : shareOf(Math.round((gres.count * 1000) / perDevice / devices));
  return [indices === null ? { node, count: 1, ...share } : { node, indices: [...indices], ...share }];
}

const shareOf = (milli: number): { share?: number } =>
  milli > 0 && milli < 1000 ? { share: milli / 1000 } : {};

/** MIG instances are no devices of their own: parts of as few devices as they fit on, placed by where their processes are. */
function instances(node: string, count: number, slices: NonNullable<NodeGres['slices']>): AllocationIn {
  const wanted = Math.min(count, MAX_DEVICES * slices.device) * slices.each;
  const devices = Math.min(MAX_DEVICES, Math.ceil(wanted / slices.device));
  return { node, count: devices, ...shareOf(Math.round((wanted * 1000) / slices.device / devices)) };
}

/** What a device has of the multi-process service (MPS) where the node does not say: percent. */
const MPS_PER_DEVICE = 100;

/** Slurm spreads a node's shards evenly over its devices, and so what it has of MPS. */
function partsPerDevice(kind: NodeGres['kind'], node: NodeResources | undefined): number | null {
  const total = (kind === 'mps' ? node?.mps : node?.shards) ?? 0;
  if (node !== undefined && node.gpus > 0 && total > 0) return total / node.gpus;
  return kind === 'mps' ? MPS_PER_DEVICE : null;
}

/** From the totals that are all that is known of a job that has ended before anybody saw its devices. */
function byCounts(job: SlurmJob, terms: Terms, complain: (message: string) => void): AllocationIn[] {
  const { nodes } = job;
  const { gpus, shards, mps, mig } = job.tres;
  if (nodes.length === 0) return [];
  const instancesOnly = mig.reduce((sum, { count }) => sum + count, 0);
  const whole = Math.max(0, gpus - instancesOnly);
  const each = (total: number, what: string): number => {
    const most = Math.ceil(total / nodes.length);
    if (total > 0 && most * nodes.length !== total)
      complain(
        `had ${total} ${what} on ${nodes.length} nodes, and it is not said how many on which: up to ${most} on each`,
      );
    return most;
  };
  const counts: TresCounts = {
    gpus: each(whole, 'devices'),
    shards: each(shards, 'shards'),
    mps: each(mps, 'parts of MPS'),
    mig,
  };
  const parts = mig.map(({ count, slices }) => ({ count: each(count, 'MIG instances'), slices }));
  return nodes.flatMap((node) => {
    const known = terms.nodes.get(node);
    // Where it is known that the node has none, none was given there.
    if (known !== undefined && known.gpus === 0) return [];
    const gres: NodeGres[] = [];
    const plain = { indices: null, shares: null, slices: null };
    if (counts.gpus > 0) gres.push({ kind: 'gpu', count: counts.gpus, ...plain });
    if (counts.shards > 0) gres.push({ kind: 'shard', count: counts.shards, ...plain });
    if (counts.mps > 0) gres.push({ kind: 'mps', count: counts.mps, ...plain });
    for (const { count, slices } of parts) gres.push({ ...plain, kind: 'mig', count, slices });
    return gres.flatMap((one) => onNode(node, one, terms));
  });
}

/** Names a run among all of its cluster: the key under which it is declared. */
export const runKey = ({ jobId, submitMs }: Pick<SlurmJob, 'jobId' | 'submitMs'>): string =>
  `${jobId}@${Math.floor(submitMs / 1000)}`;
