/** What Slurm says of a job's generic resources: counts for accounting, indices only while it runs. */
import { migSlices } from '../mig.ts';
import { splitOutside } from './hostlist.ts';
import { type Complain, isRow, numberOf } from './values.ts';

/** Devices of one node that a job has, of one kind. */
export interface NodeGres {
  readonly kind: 'gpu' | 'shard' | 'mps' | 'mig';
  readonly count: number;
  /** Slurm's indices, in order; null: not said. Never for MIG, whose indices are no devices. */
  readonly indices: readonly number[] | null;
  /** Shards and MPS: thousandths of each of `indices` that are the job's; null: not said. */
  readonly shares: readonly number[] | null;
  /** MIG: slices of one instance, and of the whole device. */
  readonly slices: { readonly each: number; readonly device: number } | null;
}

const MAX_DEVICES = 64;
const MAX_ENTRIES = 256;
/** From 23.11 on some answers write `gres/gpu:2`, others before `gres:gpu:2`. */
const PREFIX = /^gres[:/]/;
const KIND = /^(?:gpu|shard|mps)(?![a-z_])/;
const ENTRY = /^(gpu|shard|mps)(?:[:/]([^:()]{1,100}|\(null\)))?[:=](\d{1,7}[KMG]?)(?:\(([^()]*)\))*$/;
const FACTORS: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** `8`, or `2K`: Slurm writes large counts so. */
export const countOf = (digits: string): number =>
  Number.parseInt(digits, 10) * (FACTORS[digits.slice(-1)] ?? 1);

/**
 * One node's part of `gres_detail`: `gpu:a100:2(IDX:0-1,3)`, `shard:3(IDX:0)` (22.05), `shard:3(0/4,3/4)` (24.11, by
 * device: used of all), `mps:50(IDX:0)`, several with commas between. What is none of these, or holds nothing, is left out;
 * null: it tells of one of them in a form that is not known.
 */
export function nodeGres(text: string): NodeGres[] | null {
  const parts = splitOutside(text, '(', ')')
    .slice(0, MAX_ENTRIES)
    .map((part) => part.trim().replace(PREFIX, ''));
  if (parts.some((part) => KIND.test(part) && !ENTRY.test(part))) return null;
  return parts.map(oneGres).filter((one) => one !== null);
}

function oneGres(text: string): NodeGres | null {
  const [, kind, type = '', digits = ''] = ENTRY.exec(text) ?? [];
  const count = countOf(digits);
  if (kind === undefined || count === 0) return null;
  const detail = /\(((?:IDX:|[\d-]+\/)[^()]*)\)/.exec(text)?.[1] ?? '';
  if (kind === 'shard' || kind === 'mps') return { kind, count, slices: null, ...shardPlaces(detail) };
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

/** How many a job has in all: from `tres_alloc_str` or `tres.allocated`. */
export interface TresCounts {
  readonly gpus: number;
  readonly shards: number;
  readonly mps: number;
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
    const [, name, count = ''] = /^gres\/([^=]{1,110})=(\d{1,10}[KMG]?)$/.exec(part.trim()) ?? [];
    return name === undefined ? [] : [{ name, count: countOf(count) }];
  });
  return countsOf(entries);
}

/** The same of a list of `{type, name, count}`. */
export function tresListCounts(list: readonly unknown[], complain: Complain): TresCounts {
  const entries = list.slice(0, MAX_ENTRIES).flatMap((one) => {
    if (!isRow(one) || one['type'] !== 'gres' || typeof one['name'] !== 'string') return [];
    const count = numberOf(one, 'count', (_, message) => complain(`count of ${one['name']}`, message));
    return count === null ? [] : [{ name: one['name'], count }];
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
  return { gpus: of('gpu'), shards: of('shard'), mps: of('mps'), mig };
}
