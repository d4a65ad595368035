/**
 * The driver's accounting buffers on a simulated node: a row for every context that began while the mode was on, with
 * time 0 while it lasts. A buffer is a ring, and a pid that comes again takes the place of its earlier row.
 */
import type { AccountedRow, DeviceUse, SimNode, SimProcess } from './model.ts';
import { smAt } from './snapshot.ts';

/** Rows that a driver keeps of one device. */
const ACCOUNTING_ROWS = 4000;
/** Utilisation is sampled; so many samples make the average of one process. */
const SAMPLES = 32;

interface Context {
  readonly process: SimProcess;
  readonly use: DeviceUse;
  readonly endMs: number | null;
  /** Its row since it has ended. */
  final: AccountedRow | null;
}
/** Contexts of one node by device, in the order of their beginnings; made again when processes were added. */
const contexts = new WeakMap<SimNode, { readonly processes: number; readonly byDevice: Context[][] }>();

/** Oldest first, at most `ACCOUNTING_ROWS` a device. */
export function accountedRows(node: SimNode, atMs: number): AccountedRow[] {
  const { accounting } = node;
  if (accounting === undefined) return [];
  const own = contextsOf(node);
  return node.devices.flatMap((_, device) => {
    const rows = new Map<number, AccountedRow>();
    const add = (row: AccountedRow): void => {
      rows.delete(row.pid);
      rows.set(row.pid, row);
    };
    for (const row of accounting.rows) if (row.device === device) add(row);
    if (accounting.on)
      for (const context of own[device] ?? []) {
        if (context.use.fromMs > atMs) break;
        if (context.use.fromMs >= accounting.fromMs) add(rowOf(context, atMs));
      }
    return [...rows.values()].slice(-ACCOUNTING_ROWS);
  });
}

function contextsOf(node: SimNode): Context[][] {
  const known = contexts.get(node);
  if (known?.processes === node.processes.length) return known.byDevice;
  const byDevice: Context[][] = node.devices.map(() => []);
  for (const process of node.processes)
    for (const use of process.uses)
      byDevice[use.device]?.push({ process, use, endMs: earlier(use.toMs, process.endMs), final: null });
  for (const list of byDevice) list.sort((a, b) => a.use.fromMs - b.use.fromMs);
  contexts.set(node, { processes: node.processes.length, byDevice });
  return byDevice;
}

const earlier = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

function rowOf(context: Context, atMs: number): AccountedRow {
  const { process, use, endMs } = context;
  const ended = endMs !== null && endMs <= atMs;
  if (ended && context.final !== null) return context.final;
  const untilMs = ended ? endMs : atMs;
  const openMs = untilMs - use.fromMs;
  let sum = 0;
  for (let sample = 0; sample < SAMPLES; sample += 1)
    sum += smAt(use.load, use.fromMs, use.fromMs + Math.floor((openMs * sample) / SAMPLES));
  const busyPercent = Math.round(sum / SAMPLES);
  const row = {
    device: use.device,
    pid: process.pid,
    busyPercent,
    memoryPercent: Math.floor(busyPercent / 3),
    maxMemoryMiB: use.memoryMiB,
    timeMs: ended ? openMs : 0,
  };
  if (ended) context.final = row;
  return row;
}
