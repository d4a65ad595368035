/** Compares a stored node-hour with what its facts give. */
import { canonicalJson } from '../contract/canonical.ts';
import type { Entry } from '../domain/cell.ts';
import { sumEntries } from '../domain/sums.ts';
import type { StoredCell, StoredHour } from '../store/audit.ts';
import type { CellWrite } from '../store/ledger.ts';
import type { NodeHourResult } from './node-hour.ts';

export interface DeviceDifference {
  readonly device: string;
  readonly text: string;
}

/** At most one difference of each kind for each device. */
export function compareHour(stored: StoredHour, computed: NodeHourResult): DeviceDifference[] {
  const differences: DeviceDifference[] = [];
  const wanted = new Map(computed.cells.map((cell) => [cell.device, cell]));
  for (const cell of stored.cells) {
    const own = wanted.get(cell.device);
    wanted.delete(cell.device);
    const texts = [
      ...checkCell(cell),
      ...(own === undefined ? ['the facts give no such cell'] : compareCell(cell, own)),
    ];
    for (const text of texts) differences.push({ device: cell.device, text });
  }
  for (const device of wanted.keys()) differences.push({ device, text: 'the cell is missing' });
  return [...differences, ...compareParts(stored, computed)];
}

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
  for (const { job, sums } of cell.holders) {
    if (canonicalJson(sums) !== canonicalJson(sumEntries(byHolder.get(job) ?? [])))
      texts.push(`the hourly sums of ${job ?? 'nobody'} are not those of its entries`);
    byHolder.delete(job);
  }
  for (const holder of byHolder.keys()) texts.push(`the hourly sums of ${holder ?? 'nobody'} are missing`);
  return texts;
}

function compareCell(cell: StoredCell, own: CellWrite): string[] {
  const texts: string[] = [];
  if (cell.bookedToMs !== own.bookedToMs)
    texts.push(`is booked to ${timeText(cell.bookedToMs)}, the facts give ${timeText(own.bookedToMs)}`);
  const [stored, computed] = [linesOf(cell.entries), linesOf(own.entries)];
  if (stored.join('\n') !== computed.join('\n')) {
    const extra = stored.find((line) => !computed.includes(line));
    const missing = computed.find((line) => !stored.includes(line));
    texts.push(`stored ${extra ?? 'nothing'}, the facts give ${missing ?? 'nothing'}`);
  }
  return texts;
}

const timeText = (ms: number): string => new Date(ms).toISOString();

const linesOf = (entries: readonly Entry[]): string[] => entries.map((entry) => canonicalJson(entry)).sort();

function compareParts(stored: StoredHour, computed: NodeHourResult): DeviceDifference[] {
  const wanted = new Set<string>();
  for (const [finding, parts] of computed.partsOf)
    for (const part of parts) wanted.add(canonicalJson({ finding, ...part }));
  const differences: DeviceDifference[] = [];
  for (const part of stored.parts) {
    if (wanted.delete(canonicalJson(part))) continue;
    differences.push({ device: part.device, text: `finding ${part.finding}: the facts give another part` });
  }
  if (wanted.size > 0 && differences.length === 0)
    differences.push({ device: 'findings', text: `${wanted.size} parts of findings are missing` });
  return differences;
}
