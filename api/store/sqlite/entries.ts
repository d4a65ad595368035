/** The entries of a cell as its row holds them: a JSON array of arrays, in the order of the columns of the view `entries`. */
import { z } from 'zod';
import { GAP_REASONS } from '../../contract/batch.ts';
import { CONDITIONS } from '../../contract/sources.ts';
import { BUCKETS, EVIDENCE, REASONS } from '../../domain/bucket.ts';
import type { Entry, ProcessId } from '../../domain/cell.ts';
import type { Ids } from './ids.ts';
import type { ProcessIndex } from './process-index.ts';

const Row = z.tuple([
  z.int(),
  z.int(),
  z.enum(BUCKETS),
  z.enum(REASONS).nullable(),
  z.enum([...GAP_REASONS, 'agent_silent', 'not_enrolled']).nullable(),
  z.enum(['active', 'resident', 'none', 'unknown']),
  z.int().nullable(),
  z.int().nullable(),
  z.int().nullable(),
  z.enum(EVIDENCE).nullable(),
  z.literal([0, 1]),
  z.literal([0, 1]),
  z.int().min(0),
  z.enum(CONDITIONS).nullable(),
]);
type Row = z.infer<typeof Row>;

const Rows = z.array(Row);

/** `jobOf` and `processOf` give row numbers. */
export function packEntries(
  entries: readonly Entry[],
  jobOf: (id: string) => number,
  processOf: (id: ProcessId) => number,
): string {
  const job = (id: string | null): number | null => (id === null ? null : jobOf(id));
  const rows = entries.map((one): Row => {
    const process = one.process === null ? null : processOf(one.process);
    return [
      ...([one.fromMs, one.toMs, one.bucket, one.reason, one.cause, one.activity] as const),
      ...([job(one.holder), job(one.job), process, one.evidence, one.provisional ? 1 : 0] as const),
      ...([one.suspicious ? 1 : 0, one.ms, one.condition ?? null] as const),
    ];
  });
  return JSON.stringify(rows);
}

/** The function that reads what a row holds; null: no entries that this service could have written. */
export function createEntryReader(ids: Ids, processes: ProcessIndex): (text: string) => Entry[] | null {
  const jobOf = (job: number | null): string | null => (job === null ? null : ids.jobId(job));
  const toEntry = (row: Row): Entry => {
    const [fromMs, toMs, bucket, reason, cause, activity, holder, job, process, evidence, ...rest] = row;
    const [provisional, suspicious, ms, condition] = rest;
    return {
      ...{ fromMs, toMs, bucket, reason, cause, activity, evidence, ms },
      ...{ holder: jobOf(holder), job: jobOf(job), process: process === null ? null : processes.id(process) },
      ...{ provisional: provisional === 1, suspicious: suspicious === 1 },
      ...(condition === null ? {} : { condition }),
    };
  };
  return (text) => {
    const rows = Rows.safeParse(parse(text));
    return rows.success ? rows.data.map(toEntry) : null;
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
