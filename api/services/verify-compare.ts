/** Compares a stored node-hour with what its facts give. */
import type { BatchBody } from '../contract/batch.ts';
import { canonicalJson } from '../contract/canonical.ts';
import type { FirstSeen } from '../domain/bind.ts';
import type { ProcessId } from '../domain/cell.ts';
import { sumEntries } from '../domain/sums.ts';
import type { StoredCell, StoredHour } from '../store/audit.ts';
import type { CellWrite, FindingPartWrite } from '../store/ledger.ts';
import type { NodeHourResult } from './node-hour.ts';

export interface Difference {
  /** UUID; or what it is about, where that is no device. */
  readonly device: string;
  readonly text: string;
  /** Whose verdicts differ (null: time without a process); empty: nothing that a verdict could explain. */
  readonly verdictsOn: readonly (ProcessId | null)[];
}

/** At most one difference of each kind for each device. */
export function compareHour(stored: StoredHour, computed: NodeHourResult): Difference[] {
  const differences: Difference[] = [];
  const wanted = new Map(computed.cells.map((cell) => [cell.device, cell]));
  for (const cell of stored.cells) {
    const own = wanted.get(cell.device);
    wanted.delete(cell.device);
    for (const text of checkCell(cell)) differences.push(plain(cell.device, text));
    if (own === undefined) differences.push(plain(cell.device, 'the facts give no such cell'));
    else differences.push(...compareCell(cell, own));
  }
  for (const device of wanted.keys()) differences.push(plain(device, 'the cell is missing'));
  return [
    ...differences,
    ...compareParts(stored, computed),
    ...compareSeen(stored, computed),
    ...compareSignals(stored, computed),
  ];
}

const plain = (device: string, text: string): Difference => ({ device, text, verdictsOn: [] });

/** What a cell must hold in itself: both axes balance, and the sums by holder are those of its entries. */
function checkCell(cell: StoredCell): string[] {
  const texts: string[] = [];
  const total = cell.entries.reduce((sum, entry) => sum + entry.ms, 0);
  if (total !== cell.capacityMs)
    texts.push(`what happened sums to ${total} ms, the capacity is ${cell.capacityMs} ms`);
  const held = cell.holders.reduce((sum, holder) => sum + holder.sums.capacityMs, 0);
  if (held !== cell.capacityMs)
    texts.push(`what was allocated sums to ${held} ms, the capacity is ${cell.capacityMs} ms`);
  const byHolder = Map.groupBy(cell.entries, (entry) => entry.holder);
  for (const { job, sums, activeMs } of cell.holders) {
    const own = byHolder.get(job) ?? [];
    const active = own.reduce((sum, entry) => sum + (entry.activity === 'active' ? entry.ms : 0), 0);
    if (!sameMembers(sums, sumEntries(own)) || active !== activeMs)
      texts.push(`the hourly sums of ${job ?? 'nobody'} are not those of its entries`);
    byHolder.delete(job);
  }
  for (const holder of byHolder.keys()) texts.push(`the hourly sums of ${holder ?? 'nobody'} are missing`);
  return texts;
}

function compareCell(cell: StoredCell, own: CellWrite): Difference[] {
  const differences: Difference[] = [];
  if (cell.bookedToMs !== own.bookedToMs)
    differences.push(
      plain(
        cell.device,
        `is booked to ${timeText(cell.bookedToMs)}, the facts give ${timeText(own.bookedToMs)}`,
      ),
    );
  if (!sameCharges(cell, own)) {
    const [paid, due] = [chargedOf(cell), dueOf(own)];
    if (paid !== due) differences.push(plain(cell.device, `is charged to ${paid}, the facts give ${due}`));
  }
  const [extra, missing] = [unmatched(cell.entries, own.entries), unmatched(own.entries, cell.entries)];
  if (extra.length + missing.length > 0) {
    const [stored, given] = [extra, missing].map(([first]) => (first ? canonicalJson(first) : 'nothing'));
    const verdictsOn = [...extra, ...missing].map((entry) => entry.process);
    differences.push({ device: cell.device, text: `stored ${stored}, the facts give ${given}`, verdictsOn });
  }
  return differences;
}

const timeText = (ms: number): string => new Date(ms).toISOString();

/** The rows that have no equal among `others`. */
function unmatched<T extends object>(rows: readonly T[], others: readonly T[]): T[] {
  // As good as always they are the same, in the same order.
  if (rows.length === others.length && rows.every((row, at) => sameMembers(row, others[at] ?? NOTHING)))
    return [];
  const known = new Set(others.map((row) => canonicalJson(row)));
  return rows.filter((row) => !known.has(canonicalJson(row)));
}

const NOTHING = {};

/** Whether two objects without objects in them are the same. */
function sameMembers(a: object, b: object): boolean {
  const others = new Map<string, unknown>(Object.entries(b));
  const own = Object.entries(a);
  return own.length === others.size && own.every(([name, value]) => others.get(name) === value);
}

/** Whether the holders come in the same order, and are surely the same. */
const sameCharges = ({ holders }: StoredCell, own: CellWrite): boolean =>
  holders.length === own.holders.length &&
  holders.every(({ job, account, user, assumed }, at) => {
    const due = own.holders[at];
    return (
      due !== undefined &&
      job === (due.job?.id ?? null) &&
      account === (due.job?.account ?? '') &&
      user === (due.job?.user ?? '') &&
      assumed === due.assumed
    );
  });

/** Who pays for a cell, as it is stored and as the facts give it. */
const chargedOf = (cell: StoredCell): string =>
  inOrder(cell.holders.map(({ job, account, user, assumed }) => ({ job, account, user, assumed })));
const dueOf = (cell: CellWrite): string =>
  inOrder(
    cell.holders.map(({ job, assumed }) => ({
      ...{ job: job?.id ?? null, account: job?.account ?? '', user: job?.user ?? '', assumed },
    })),
  );

const inOrder = (rows: readonly object[]): string =>
  rows
    .map((row) => canonicalJson(row))
    .sort()
    .join(', ');

function compareParts(stored: StoredHour, computed: NodeHourResult): Difference[] {
  const wanted = new Map<string, FindingPartWrite>();
  for (const [finding, parts] of computed.partsOf)
    for (const part of parts) wanted.set(canonicalJson({ finding, ...part }), part);
  const differences: Difference[] = [];
  for (const part of stored.parts) {
    if (wanted.delete(canonicalJson(part))) continue;
    const text = `finding ${part.finding}: the facts give another part`;
    differences.push({ device: part.device, text, verdictsOn: [part.process] });
  }
  if (differences.length > 0) return differences;
  return [...wanted.values()].map(({ device, process }) => ({
    ...{ device, text: 'a part of a finding is missing', verdictsOn: [process] },
  }));
}

function compareSeen(stored: StoredHour, computed: NodeHourResult): Difference[] {
  const differences: Difference[] = [];
  const due = computed.observations.map(({ id, process, job, evidence, reason, severity, ...seen }) => ({
    ...{ finding: id, process, job, evidence, reason, severity, fromMs: seen.firstMs, toMs: seen.lastMs },
  }));
  if (inOrder(stored.seen) !== inOrder(due)) {
    const verdictsOn = [...stored.seen, ...due].map((one) => one.process);
    differences.push({ device: 'beside the ledger', text: 'the facts give other observations', verdictsOn });
  }
  if (inOrder(placesOf(stored.firstSeen)) !== inOrder(placesOf(computed.firstSeen)))
    differences.push(plain('all devices', 'the facts give other first sightings of jobs'));
  return differences;
}

function compareSignals(stored: StoredHour, computed: NodeHourResult): Difference[] {
  const due = [...computed.signals].flatMap(([finding, own]) => own.map((one) => ({ finding, ...one })));
  const [extra, missing] = [unmatched(stored.signals, due), unmatched(due, stored.signals)];
  return [...new Set([...extra, ...missing].map((one) => one.finding))].map((finding) => ({
    device: `finding ${finding}`,
    text: 'the facts give other signals',
    verdictsOn: processesOf(finding, computed),
  }));
}

/** Those whose text its signals may come from. */
function processesOf(finding: string, { findings, observations }: NodeHourResult): (ProcessId | null)[] {
  const parts = findings.filter((part) => part.id === finding);
  const seen = observations.filter((one) => one.id === finding);
  return [...parts.flatMap((part) => part.rows.map((row) => row.process)), ...seen.map((one) => one.process)];
}

const placesOf = (seen: FirstSeen): object[] =>
  [...seen].flatMap(([job, byDevice]) => [...byDevice].map(([device, atMs]) => ({ job, device, atMs })));

/** Devices of which an hour's inventories say another first moment than was stored. */
export function wrongSightings(stored: ReadonlyMap<string, number>, bodies: readonly BatchBody[]): string[] {
  const first = new Map<string, number>();
  for (const { inventory, fromMs } of bodies)
    for (const { uuid } of inventory ?? []) first.set(uuid, Math.min(first.get(uuid) ?? fromMs, fromMs));
  return [...new Set([...first.keys(), ...stored.keys()])].filter(
    (uuid) => first.get(uuid) !== stored.get(uuid),
  );
}
