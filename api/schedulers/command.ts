/**
 * A site's own program as a source, for schedulers that gpuledger does not know: it prints one JSON object a line, a
 * declaration or something else that a source says. It runs at an interval, or is kept running. docs/SOURCES.md has one.
 */
import { z } from 'zod';
import { Name, Time } from '../contract/primitives.ts';
import { wait } from './backoff.ts';
import { type ProgramCall, ProgramError, runProgram } from './program.ts';
import type { Declaration, Source, SourceCheck, SourceSink } from './source.ts';

const MS_PER_SECOND = 1000;
const MAX_LINE_BYTES = 1024 * 1024;
/** What one run may print; one that is kept running may go on for ever. */
const MAX_RUN_BYTES = 1024 * 1024 * 1024;
/** Jobs that are handed on together. */
const JOBS_TOGETHER = 500;
/** Of one that is kept running: it says something at least so often, or is started again. */
const KEPT_SILENCE_MS = 60 * 60_000;
const CHECK_LINES = 100;

const OWN_SOURCES = ['slurm', 'kubernetes', 'ray', 'api', 'run', 'policy'];

export const CommandSettings = z.strictObject({
  source: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a name of small letters, digits and -, such as pbs')
    .refine((name) => !OWN_SOURCES.includes(name), `must not be one of ${OWN_SOURCES.join(', ')}`)
    .meta({ description: 'The name under which its jobs are declared, such as pbs' }),
  instance: Name.default('default').meta({
    description: 'Which one of that kind: job ids are unique within it',
  }),
  program: z
    .array(z.string().max(4096))
    .min(1)
    .max(64)
    .refine((words) => words[0]?.startsWith('/') === true, 'must begin with the path of a program, from /')
    .meta({ description: 'The path of the program and its arguments; no shell sees them' }),
  keep: z.boolean().default(false).meta({
    description:
      'It is kept running and says by itself how far it is complete; else it is run at an interval',
  }),
  intervalSeconds: z.number().min(1).max(86_400).default(60),
  timeoutSeconds: z.number().min(1).max(86_400).default(300).meta({
    description: 'How long a run may say nothing before it is ended',
  }),
  environment: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/))
    .max(32)
    .default([])
    .meta({ description: 'Variables of this process that it is given, such as one with a credential' }),
});
export type CommandSettings = z.output<typeof CommandSettings>;

/** A line that is not a declaration. */
const Said = z.union([
  z.strictObject({ complete: Time }),
  z.strictObject({
    condition: z.strictObject({
      node: Name,
      condition: z.enum(['drained', 'down', 'reserved', 'maintenance']),
      from: Time,
      to: Time.nullable().default(null),
      reason: z.string().default(''),
    }),
  }),
  z.strictObject({ problem: z.string() }),
]);

/** `nowMs`: the time by this machine's clock. */
export function createCommandSource(settings: CommandSettings, nowMs: () => number): Source {
  const { source, instance, keep } = settings;
  return {
    ...{ source, instance },
    async follow(sinceMs, sink, signal) {
      for (let fromMs = sinceMs; ; ) {
        // What ends while it runs may be missed by it: it is complete up to when it began.
        const startedMs = await once(settings, nowMs, fromMs, sink, signal);
        if (keep) throw new Error(`${settings.program[0]} ended, and is to be kept running`);
        await sink.complete(startedMs);
        fromMs = startedMs;
        await wait(settings.intervalSeconds * MS_PER_SECOND, signal);
      }
    },
    async check(signal) {
      const lines: string[] = [];
      const bad: string[] = [];
      let failure: string | null = null;
      try {
        for await (const line of linesOf(runProgram(callOf(settings, null, signal)))) {
          lines.push('');
          if (line === null) bad.push(`line ${lines.length} is longer than ${MAX_LINE_BYTES} bytes`);
          else {
            const read = readLine(line);
            if (read !== null && 'bad' in read) bad.push(`line ${lines.length} ${read.bad}`);
          }
          if (lines.length >= CHECK_LINES) break;
        }
      } catch (error) {
        signal.throwIfAborted();
        failure = error instanceof Error ? error.message : String(error);
      }
      const ran = {
        name: 'program',
        ok: failure === null,
        message: failure ?? `it printed ${lines.length} lines`,
      };
      const checks: SourceCheck[] = [ran];
      if (lines.length > 0)
        checks.push({ name: 'lines', ok: bad.length === 0, message: bad[0] ?? 'each of them can be read' });
      return checks;
    },
  };
}

function callOf(settings: CommandSettings, sinceMs: number | null, signal: AbortSignal): ProgramCall {
  const [file = '', ...args] = settings.program;
  const given = settings.environment.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...{ file, args, signal },
    environment: {
      ...Object.fromEntries(given),
      GPULEDGER_SINCE: sinceMs === null ? '' : new Date(sinceMs).toISOString(),
    },
    silenceMs: settings.keep ? KEPT_SILENCE_MS : settings.timeoutSeconds * MS_PER_SECOND,
    maxBytes: settings.keep ? Number.MAX_SAFE_INTEGER : MAX_RUN_BYTES,
  };
}

/** Runs the program to its end. Returns when it was started. */
async function once(
  settings: CommandSettings,
  nowMs: () => number,
  sinceMs: number | null,
  sink: SourceSink,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = nowMs();
  let jobs: Declaration[] = [];
  const flush = async (): Promise<void> => {
    const now = jobs;
    jobs = [];
    if (now.length > 0) await sink.declare(now);
  };
  try {
    for await (const line of linesOf(runProgram(callOf(settings, sinceMs, signal)))) {
      const read = line === null ? { bad: `is longer than ${MAX_LINE_BYTES} bytes` } : readLine(line);
      if (read === null) continue;
      if ('bad' in read)
        sink.problem({ subject: settings.program[0] ?? null, message: `a line ${read.bad}` });
      else if ('job' in read) {
        jobs.push(read.job);
        if (settings.keep || jobs.length >= JOBS_TOGETHER) await flush();
      } else await pass(read.said, sink, flush);
    }
  } catch (error) {
    // What was said before it failed stands.
    if (error instanceof ProgramError && !signal.aborted) await flush();
    throw error;
  }
  await flush();
  return startedMs;
}

async function pass(
  said: z.output<typeof Said>,
  sink: SourceSink,
  flush: () => Promise<void>,
): Promise<void> {
  if ('problem' in said) return sink.problem({ subject: null, message: said.problem });
  await flush();
  if ('complete' in said) return sink.complete(Date.parse(said.complete));
  const { node, condition, from, to, reason } = said.condition;
  const toMs = to === null ? null : Date.parse(to);
  return sink.conditions([{ node, condition, fromMs: Date.parse(from), toMs, reason: reason.slice(0, 300) }]);
}

type Read =
  | { readonly job: Declaration }
  | { readonly said: z.output<typeof Said> }
  | { readonly bad: string };

/** What a line says; null: nothing. The service checks declarations. */
function readLine(line: string): Read | null {
  const text = line.trim();
  if (text === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { bad: `is no JSON: ${text.slice(0, 80)}` };
  }
  const said = Said.safeParse(value);
  if (said.success) return { said: said.data };
  const job = Job.safeParse(value);
  return job.success
    ? { job: job.data }
    : { bad: 'is neither a declaration nor anything else that a source says' };
}

/** Enough to know a declaration by; the rest of it goes to the service as it is. */
const Job = z.custom<Declaration>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    'externalId' in value &&
    typeof value.externalId === 'string' &&
    !Array.isArray(value),
);

/** The lines of an output in pieces; null for one that is too long. */
async function* linesOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<string | null> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const take = (): string | null => {
    const line = bytes > MAX_LINE_BYTES ? null : Buffer.concat(parts).toString('utf8');
    parts = [];
    bytes = 0;
    return line;
  };
  for await (const piece of pieces) {
    let from = 0;
    for (let end = piece.indexOf(0x0a); end !== -1; end = piece.indexOf(0x0a, from)) {
      bytes += end - from;
      if (bytes <= MAX_LINE_BYTES) parts.push(piece.subarray(from, end));
      yield take();
      from = end + 1;
    }
    bytes += piece.length - from;
    if (bytes <= MAX_LINE_BYTES) parts.push(piece.subarray(from));
    else parts = [];
  }
  if (bytes > 0) yield take();
}
