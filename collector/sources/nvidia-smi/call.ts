/** Runs nvidia-smi: bounded, one at a time, and less often after time-outs. And what an answer is worth. */
import type { GapReason } from '../../../api/contract/batch.ts';
import type { Execute, Executed } from '../../ports.ts';
import { type Problem, quote } from './parsed.ts';

/** Many devices without the persistence daemon take tens of seconds; beyond this the driver hangs. */
const TIMEOUT_MS = 30_000;
/** Calls left out after 1, 2, 3, … time-outs in a row: 0, 1, 3, 7, … up to this. */
const MAX_LEFT_OUT = 15;
/** Exit code for a corrupted infoROM; the output is complete. */
const INFOROM_CORRUPTED = 14;

/** Bounds of an answer: full accounting buffers of many devices, and reports of them, are long. */
export const LONG_ANSWER_BYTES = 16 * 1024 * 1024;
export const ANSWER_BYTES = 4 * 1024 * 1024;

/** An answer of the tool, or why there is none. */
export type Answer<T> = { readonly ok: true; readonly output: T } | ({ readonly ok: false } & Failure);
export interface Failure {
  readonly reason: GapReason;
  readonly detail: string;
}

interface Health {
  timeouts: number;
  leaveOut: number;
}
interface Lane {
  tail: Promise<unknown>;
  /** By the kind of call: one query may hang while another answers. */
  readonly health: Map<string, Health>;
}
/** One lane an execute port, so that the inventory and the poll never run side by side. */
const lanes = new WeakMap<Execute, Lane>();

export const LEFT_OUT: Executed = {
  stdout: Buffer.alloc(0),
  stderr: Buffer.from('not asked again yet: the calls before timed out'),
  exitCode: null,
  failure: 'timeout',
  durationMs: 0,
};

export function run(
  execute: Execute,
  file: string,
  args: readonly string[],
  maxOutputBytes: number,
): Promise<Executed> {
  const lane: Lane = lanes.get(execute) ?? { tail: Promise.resolve(), health: new Map() };
  lanes.set(execute, lane);
  const kind = (args[0] ?? '').split('=', 1).join();
  const next = lane.tail.then(async () => {
    const health: Health = lane.health.get(kind) ?? { timeouts: 0, leaveOut: 0 };
    lane.health.set(kind, health);
    if (health.leaveOut > 0) {
      health.leaveOut -= 1;
      return LEFT_OUT;
    }
    const executed = await execute(file, args, { timeoutMs: TIMEOUT_MS, maxOutputBytes });
    health.timeouts = executed.failure === 'timeout' ? health.timeouts + 1 : 0;
    health.leaveOut = health.timeouts === 0 ? 0 : Math.min(2 ** (health.timeouts - 1) - 1, MAX_LEFT_OUT);
    return executed;
  });
  lane.tail = next.catch(() => undefined);
  return next;
}

/** Why a call gave nothing to use. */
export function failureOf(executed: Executed, problems: readonly Problem[]): Failure {
  const complaint = quote(executed.stderr.toString('utf8').trim());
  // What could not be started or was killed has its reason there, and an answer without a report is no wonder.
  const said =
    executed.failure === null || complaint === '' ? (problems[0]?.message ?? complaint) : complaint;
  const tail = said === '' ? '' : `: ${said}`;
  switch (executed.failure) {
    case 'missing':
      return { reason: 'tool_missing', detail: 'nvidia-smi was not found' };
    case 'timeout':
      return { reason: 'tool_timeout', detail: `nvidia-smi did not answer within ${TIMEOUT_MS} ms${tail}` };
    case null:
      if (problems.some((problem) => /^no devices were found/i.test(problem.message)))
        return { reason: 'device_missing', detail: said };
      return { reason: 'tool_failed', detail: `exit code ${executed.exitCode}${tail}` };
    default:
      return { reason: 'tool_failed', detail: `${executed.failure.replace('_', ' ')}${tail}` };
  }
}

/** The tool ends every line; what has no end was cut. */
export function wholeLines(executed: Executed): { text: string; cut: boolean } {
  const text = executed.stdout.toString('utf8');
  const end = text.lastIndexOf('\n') + 1;
  return { text: text.slice(0, end), cut: end < text.length };
}

export const CUT: Problem = {
  line: null,
  device: null,
  message: 'the output ends in half a line',
  fault: false,
};

/** Lists are worth something only when they are whole: a missing row reads as "nobody there". */
export function whole<T extends { readonly hasHeader: boolean; readonly problems: readonly Problem[] }>(
  executed: Executed,
  cut: boolean,
  output: T,
): Answer<T> {
  const explained = output.problems.some((problem) => problem.fault);
  const accepted = executed.exitCode === 0 || executed.exitCode === INFOROM_CORRUPTED || explained;
  if (executed.failure !== null || !output.hasHeader || !accepted)
    return { ok: false, ...failureOf(executed, output.problems) };
  if (cut) return { ok: false, reason: 'tool_failed', detail: CUT.message };
  return { ok: true, output };
}
