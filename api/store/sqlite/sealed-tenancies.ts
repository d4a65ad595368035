/**
 * Tenancies by columns. Most of an hour's evidence is these, so what follows from the rest is left out: a span ends with
 * its batch, the parts of a span sum to its active time, nearly all and nearly nothing are small numbers.
 */
import { type BatchBody, SPLIT_METHODS, type Tenancy } from '../../contract/batch.ts';
import { BadColumns, type IntegerReader, type IntegerWriter } from './integers.ts';
import { NotTransposable, type TextNumbers, type TextsByNumber } from './transpose.ts';

const MEMBERS = 9;
const TENANT_MEMBERS = 4;
const FLAGS = { unknown: 1, conflict: 2 } as const;

type Place = Pick<BatchBody, 'fromMs' | 'toMs'>;

/** Counted from the nearer end. */
const fromEnds = (part: number, whole: number): number =>
  2 * part <= whole ? 2 * part : 2 * (whole - part) + 1;
const toPart = (code: number, whole: number): number => (code % 2 === 0 ? code / 2 : whole - (code - 1) / 2);
/** The driver tells memory in MiB. */
const MIB = 1024 * 1024;
const fromBytes = (bytes: number | null): number =>
  bytes === null ? 0 : bytes % MIB === 0 ? 1 + 2 * (bytes / MIB) : 2 + 2 * bytes;
const toBytes = (code: number): number | null =>
  code === 0 ? null : code % 2 === 1 ? ((code - 1) / 2) * MIB : (code - 2) / 2;
const orZero = (value: number | null): number => (value === null ? 0 : value + 1);
const orNull = (code: number): number | null => (code === 0 ? null : code - 1);

const COLUMNS = [
  ...['count', 'device', 'startMs', 'method', 'flags', 'spans', 'tenants', 'parts', 'process', 'type'],
  ...['memory', 'gpuInstance', 'lengthMs', 'activeMs', 'shareMs', 'conflictMs', 'partInstance', 'partSlices'],
] as const;
type Columns = Record<(typeof COLUMNS)[number], number[]>;

const noColumns = (): Columns => ({
  ...{ count: [], device: [], startMs: [], method: [], flags: [], spans: [], tenants: [], parts: [] },
  ...{ process: [], type: [], memory: [], gpuInstance: [], lengthMs: [], activeMs: [], shareMs: [] },
  ...{ conflictMs: [], partInstance: [], partSlices: [] },
});

/** Throws `NotTransposable` for what is not of the form that this knows. */
export function packTenancies(bodies: readonly BatchBody[], to: IntegerWriter, texts: TextNumbers): void {
  const columns = noColumns();
  for (const body of bodies) {
    columns.count.push(body.tenancies.length);
    for (const tenancy of body.tenancies) packTenancy(tenancy, body, columns, texts);
  }
  for (const name of COLUMNS) to.add(columns[name]);
}

function packTenancy(tenancy: Tenancy, { fromMs, toMs }: Place, to: Columns, texts: TextNumbers): void {
  const { device, tenants, startMs, lengthMs, activeMs, shareMs, method, conflictMs, partition } = tenancy;
  if (Object.keys(tenancy).length !== MEMBERS) throw new NotTransposable('a tenancy');
  to.device.push(texts.numberOf(device));
  to.startMs.push(startMs - fromMs);
  to.method.push(SPLIT_METHODS.indexOf(method));
  to.flags.push((activeMs === null ? FLAGS.unknown : 0) + (conflictMs.length > 0 ? FLAGS.conflict : 0));
  to.spans.push(lengthMs.length);
  to.tenants.push(tenants.length);
  to.parts.push(partition.length);
  for (const tenant of tenants) {
    if (Object.keys(tenant).length !== TENANT_MEMBERS) throw new NotTransposable('a tenant');
    to.process.push(texts.numberOf(tenant.process));
    to.type.push(texts.numberOf(tenant.type));
    to.memory.push(fromBytes(tenant.memoryBytes));
    to.gpuInstance.push(orZero(tenant.gpuInstance));
  }
  let endMs = startMs;
  for (const [index, ms] of lengthMs.entries()) {
    endMs += ms;
    to.lengthMs.push(index === lengthMs.length - 1 ? toMs - endMs : ms);
  }
  for (const { gpuInstance, slices } of partition) {
    to.partInstance.push(gpuInstance);
    to.partSlices.push(slices);
  }
  to.conflictMs.push(...conflictMs);
  for (const [index, active] of (activeMs ?? []).entries()) {
    to.activeMs.push(fromEnds(active, lengthMs[index] ?? 0));
    let left = active;
    for (let row = 0; row + 1 < tenants.length; row += 1) {
      const share = shareMs[row]?.[index] ?? 0;
      to.shareMs.push(share - Math.floor(left / (tenants.length - row)));
      left -= share;
    }
  }
}

/** One after the other. */
const cursor = (values: readonly number[]): (() => number) => {
  let at = 0;
  return () => values[at++] ?? 0;
};
const sum = (values: readonly number[]): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};

/** The tenancies of each batch. Throws `BadColumns`. */
export function unpackTenancies(
  places: readonly Place[],
  from: IntegerReader,
  texts: TextsByNumber,
): Tenancy[][] {
  const counts = from.take(places.length);
  const total = sum(counts);
  const device = from.take(total);
  const startMs = from.take(total);
  const method = from.take(total);
  const flags = from.take(total);
  const spans = from.take(total);
  const tenants = from.take(total);
  const parts = from.take(total);
  const nextTenant = tenantsOf(sum(tenants), from, texts);
  const length = cursor(from.take(sum(spans)));
  let known = 0;
  let shares = 0;
  let conflicts = 0;
  for (let at = 0; at < total; at += 1) {
    const count = spans[at] ?? 0;
    const flag = flags[at] ?? 0;
    if (flag % 2 === 0) known += count;
    if (flag % 2 === 0 && (tenants[at] ?? 0) > 1) shares += count * ((tenants[at] ?? 0) - 1);
    if (flag >= FLAGS.conflict) conflicts += count;
  }
  const active = cursor(from.take(known));
  const share = cursor(from.take(shares));
  const conflict = cursor(from.take(conflicts));
  const instance = cursor(from.take(sum(parts)));
  const slices = cursor(from.take(sum(parts)));
  let at = 0;
  return places.map(({ fromMs, toMs }, batch) => {
    const own: Tenancy[] = [];
    for (let count = counts[batch] ?? 0; count > 0; count -= 1, at += 1) {
      const spanCount = spans[at] ?? 0;
      const tenantCount = tenants[at] ?? 0;
      const flag = flags[at] ?? 0;
      const beginMs = (startMs[at] ?? 0) + fromMs;
      const name = SPLIT_METHODS[method[at] ?? -1];
      if (name === undefined) throw new BadColumns();
      const lengthMs = lengthsOf(spanCount, toMs - beginMs, length);
      const measured = flag % 2 === 0;
      const activeMs = measured ? lengthMs.map((ms) => toPart(active(), ms)) : null;
      // In the order of canonical JSON.
      own.push({
        activeMs,
        conflictMs: flag >= FLAGS.conflict ? many(spanCount, conflict) : [],
        device: texts.text(device[at] ?? -1),
        lengthMs,
        method: name,
        partition: many(parts[at] ?? 0, () => ({ gpuInstance: instance(), slices: slices() })),
        shareMs: activeMs === null ? [] : sharesOf(activeMs, tenantCount, share),
        startMs: beginMs,
        tenants: many(tenantCount, nextTenant),
      });
    }
    return own;
  });
}

function many<T>(count: number, make: () => T): T[] {
  const made: T[] = [];
  for (let at = 0; at < count; at += 1) made.push(make());
  return made;
}

function tenantsOf(
  count: number,
  from: IntegerReader,
  texts: TextsByNumber,
): () => Tenancy['tenants'][number] {
  const process = from.take(count);
  const type = from.take(count);
  const memory = from.take(count);
  const gpuInstance = from.take(count);
  let at = -1;
  return () => {
    at += 1;
    return {
      gpuInstance: orNull(gpuInstance[at] ?? 0),
      memoryBytes: toBytes(memory[at] ?? 0),
      process: texts.text(process[at] ?? -1),
      type: texts.text(type[at] ?? -1),
    };
  };
}

/** The last span ends as far before the end of its batch as is told. */
function lengthsOf(spans: number, toEndMs: number, next: () => number): number[] {
  const lengthMs: number[] = [];
  let leftMs = toEndMs;
  for (let index = 0; index < spans; index += 1) {
    const ms = index === spans - 1 ? leftMs - next() : next();
    lengthMs.push(ms);
    leftMs -= ms;
  }
  return lengthMs;
}

function sharesOf(activeMs: readonly number[], tenants: number, next: () => number): number[][] {
  if (tenants === 1) return [[...activeMs]];
  const rows: number[][] = many(tenants, () => []);
  for (const active of activeMs) {
    let left = active;
    for (const [row, shares] of rows.entries()) {
      const ms = row === tenants - 1 ? left : next() + Math.floor(left / (tenants - row));
      shares.push(ms);
      left -= ms;
    }
  }
  return rows;
}
