/** What Slurm says of a job's generic resources: counts for accounting, indices only while it runs. */
import { splitOutside } from './hostlist.ts';

/** Devices of one node that a job has, of one kind. */
export interface NodeGres {
  readonly kind: 'gpu' | 'shard' | 'mig';
  readonly count: number;
  /** Slurm's indices, in order; null: not said. Never for MIG, whose indices are no devices. */
  readonly indices: readonly number[] | null;
  /** Shards: thousandths of each of `indices` that are the job's; null: not said. */
  readonly shares: readonly number[] | null;
  /** MIG: slices of one instance, and of the whole device. */
  readonly slices: { readonly each: number; readonly device: number } | null;
}

const MAX_DEVICES = 64;
const MAX_ENTRIES = 256;
const ENTRY = /^(gpu|shard)(?::([^:()]{1,100}))?:(\d{1,7})(?:\(([^()]*)\))?$/;

/**
 * One node's part of `gres_detail`: `gpu:a100:2(IDX:0-1,3)`, `shard:3(IDX:0)` (22.05), `shard:3(0/4,3/4)` (24.11, by
 * device: used of all), several with commas between. What is neither gpu nor shard, or holds nothing, is left out.
 */
export function nodeGres(text: string): NodeGres[] {
  return splitOutside(text, '(', ')')
    .slice(0, MAX_ENTRIES)
    .map((part) => oneGres(part.trim()))
    .filter((one) => one !== null);
}

function oneGres(text: string): NodeGres | null {
  const [, kind, type = '', digits = '', detail = ''] = ENTRY.exec(text) ?? [];
  const count = Number(digits);
  if (kind === undefined || count === 0) return null;
  if (kind === 'shard') return { kind: 'shard', count, slices: null, ...shardPlaces(detail) };
  const slices = migSlices(type);
  if (slices !== null) return { kind: 'mig', count, indices: null, shares: null, slices };
  const indices = indicesOf(detail);
  return {
    kind: 'gpu',
    count,
    indices: indices?.length === count ? indices : null,
    shares: null,
    slices: null,
  };
}

/** `IDX:0-1,3`; null: none said, or nonsense. */
function indicesOf(detail: string): number[] | null {
  const text = /^IDX:([\d,-]+)$/.exec(detail)?.[1];
  if (text === undefined) return null;
  const indices: number[] = [];
  for (const range of text.split(',')) {
    const [, first = '', last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range) ?? [];
    if (first === '') return null;
    const from = Number(first);
    const to = Number(last);
    if (to < from || indices.length + to - from >= MAX_DEVICES) return null;
    for (let index = from; index <= to; index += 1) indices.push(index);
  }
  return new Set(indices).size === indices.length ? indices : null;
}

function shardPlaces(detail: string): Pick<NodeGres, 'indices' | 'shares'> {
  const indices = indicesOf(detail);
  if (indices !== null) return { indices, shares: null };
  const parts = detail.split(',');
  if (detail === '' || parts.length > MAX_DEVICES) return { indices: null, shares: null };
  const found: { index: number; share: number }[] = [];
  for (const [index, part] of parts.entries()) {
    const [, used, all] = /^(\d{1,5}|-)\/(\d{1,5})$/.exec(part) ?? [];
    if (used === undefined) return { indices: null, shares: null };
    const share =
      used === '-' || Number(all) === 0 ? 0 : Math.min(1000, Math.round((Number(used) * 1000) / Number(all)));
    if (share > 0) found.push({ index, share });
  }
  if (found.length === 0) return { indices: null, shares: null };
  return { indices: found.map((one) => one.index), shares: found.map((one) => one.share) };
}

/** `1g.5gb`, `a100_3g.20gb`, `2g.12gb+me`: the profile of a MIG instance, as its type is called. */
const MIG = /(?:^|[_.-])(\d)(?:g|c\.\dg)\.(\d{1,3})gb(?:\+[a-z.]+)?$/i;
/** Profiles of the devices that are cut into four (A30), not seven. */
const OF_FOUR: readonly string[] = ['1/6', '2/12', '4/24'];

function migSlices(type: string): NodeGres['slices'] {
  const [, slices, gigabytes] = MIG.exec(type) ?? [];
  if (slices === undefined || gigabytes === undefined || Number(slices) === 0) return null;
  const device = OF_FOUR.includes(`${slices}/${gigabytes}`) ? 4 : 7;
  return { each: Math.min(Number(slices), device), device };
}

/** How many a job has in all: from `tres_alloc_str` or `tres.allocated`. */
export interface TresCounts {
  readonly gpus: number;
  readonly shards: number;
  /** By MIG profile, part of `gpus`. */
  readonly mig: readonly { readonly count: number; readonly slices: NonNullable<NodeGres['slices']> }[];
}

/** A number of devices that no job has. */
const MAX_COUNT = 1_000_000;

/**
 * `cpu=2,mem=62.50G,gres/gpu=2,gres/gpu:a100=2`: the typed entries are the untyped ones told once more, and count only
 * where there is no untyped one.
 */
export function tresCounts(text: string): TresCounts {
  const entries = text.split(',', MAX_ENTRIES).flatMap((part) => {
    const [, name, count] = /^gres\/([^=]{1,110})=(\d{1,10})$/.exec(part.trim()) ?? [];
    return name === undefined ? [] : [{ name, count: Number(count) }];
  });
  return countsOf(entries);
}

/** The same of a list of `{type, name, count}`. */
export function tresListCounts(list: readonly unknown[]): TresCounts {
  const entries = list.slice(0, MAX_ENTRIES).flatMap((one) => {
    if (typeof one !== 'object' || one === null) return [];
    const { type, name, count } = { type: null, name: null, count: null, ...one };
    return type === 'gres' && typeof name === 'string' && typeof count === 'number' ? [{ name, count }] : [];
  });
  return countsOf(entries);
}

function countsOf(all: readonly { name: string; count: number }[]): TresCounts {
  const entries = all.filter(({ count }) => Number.isInteger(count) && count > 0 && count <= MAX_COUNT);
  const of = (resource: string): number => {
    const untyped = entries.filter(({ name }) => name === resource);
    const told = untyped.length > 0 ? untyped : entries.filter(({ name }) => name.startsWith(`${resource}:`));
    return told.reduce((sum, { count }) => sum + count, 0);
  };
  const mig = entries.flatMap(({ name, count }) => {
    const slices = name.startsWith('gpu:') ? migSlices(name.slice('gpu:'.length)) : null;
    return slices === null ? [] : [{ count, slices }];
  });
  return { gpus: of('gpu'), shards: of('shard'), mig };
}
