// Polls of one device, played to a span builder.
import type { Gap, Tenancy } from '../../api/contract/batch.ts';
import type { EndedTenant } from '../../collector/parts.ts';
import { type DeviceProcess, type DeviceReading, UNTOLD_TYPE } from '../../collector/reading.ts';
import { createSpanBuilder } from '../../collector/spans.ts';

export const GPU = 'GPU-a';
const START_MS = 1_790_002_800_000;
const POLL_MS = 5000;
const LIMIT = 700_000;
export const AT_REST = 80_000;
export const AT_WORK = 500_000;

export interface Poll {
  readonly percent?: number | null;
  readonly power?: number;
  /** Pids, or a pid in a GPU instance. */
  readonly pids?: readonly (
    | number
    | { readonly pid: number; readonly gpuInstance: number; readonly sm?: number }
  )[];
  readonly partition?: readonly { readonly gpuInstance: number; readonly slices: number }[];
  readonly ended?: readonly EndedTenant[];
  readonly failed?: boolean;
  /** The answer that tells types is missing. */
  readonly untold?: boolean;
  readonly afterMs?: number;
  readonly startedMs?: number;
  /** When those ended that have left, where that was noticed. */
  readonly endedMs?: number;
}

function deviceOf(poll: Poll): DeviceReading {
  if (poll.failed) return { ok: false, uuid: GPU, reason: 'tool_timeout', detail: 'planted' };
  const { percent = 0, power = AT_REST, pids = [], partition = [] } = poll;
  const type = poll.untold ? UNTOLD_TYPE : 'C';
  return {
    ok: true,
    uuid: GPU,
    utilisationPercent: percent ?? { unknown: 'not measured under MIG' },
    memoryUsedBytes: 0,
    powerMilliwatts: power,
    powerLimitMilliwatts: LIMIT,
    partition,
    processes: pids.map((one): DeviceProcess => {
      const { pid, gpuInstance, sm = null } = typeof one === 'number' ? { pid: one, gpuInstance: null } : one;
      return { pid, type, smPercent: sm, memoryBytes: null, gpuInstance, computeInstance: null };
    }),
  };
}

/** Plays polls and takes everything; times are relative to the first one. */
export function play(polls: readonly Poll[]): { tenancies: Tenancy[]; gaps: Gap[] } {
  const builder = createSpanBuilder({ pollIntervalMs: POLL_MS, windowMs: 30_000 });
  const tenancies: Tenancy[] = [];
  const gaps: Gap[] = [];
  let wallMs = START_MS;
  for (const [i, poll] of polls.entries()) {
    if (i > 0) wallMs += poll.afterMs ?? POLL_MS;
    const keys = new Map(
      (poll.pids ?? [])
        .map((one) => (typeof one === 'number' ? one : one.pid))
        .map((pid) => [pid, `${pid}/1`]),
    );
    const reading = {
      wallMs,
      monotonicMs: wallMs - START_MS,
      devices: [deviceOf(poll)],
      ended: [],
      problems: [],
    };
    const startedMs = poll.startedMs === undefined ? null : START_MS + poll.startedMs;
    const endedMs = poll.endedMs === undefined ? null : START_MS + poll.endedMs;
    const ended = new Map([[GPU, poll.ended ?? []]]);
    builder.add(
      reading,
      keys,
      () => startedMs,
      ended,
      () => endedMs,
    );
  }
  for (let taken = builder.take(Infinity); taken !== null; taken = builder.take(Infinity)) {
    tenancies.push(...taken.tenancies.map((one) => ({ ...one, startMs: one.startMs - START_MS })));
    gaps.push(
      ...taken.gaps.map((gap) => ({ ...gap, fromMs: gap.fromMs - START_MS, toMs: gap.toMs - START_MS })),
    );
  }
  return { tenancies, gaps };
}

export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
