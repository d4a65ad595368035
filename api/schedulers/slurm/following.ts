/** What following a Slurm cluster needs throughout: what was seen while it lasted, runs of an answer, and batches. */
import type { Declaration, SourceSink } from '../source.ts';
import { assertCluster, isOther, type RowsOf, type Slurm } from './answers.ts';
import type { NodeResources, Terms } from './declare.ts';
import { readJob, type SlurmJob } from './job.ts';
import { createConditions } from './nodes.ts';
import type { SlurmSettings } from './settings.ts';

/** Declared together. */
const BATCH = 500;

/** A run that holds devices, as it was last seen. */
export interface Live {
  readonly job: SlurmJob;
  /** Its declaration as text, once the service has it: what is the same is not said again. */
  readonly said: string | null;
  readonly seenMs: number;
  readonly missingSinceMs: number | null;
}

/** What outlives a failure of the source: what was seen while it lasted. */
export interface Memory {
  readonly live: Map<string, Live>;
  /** Ended runs of the controller's last answer, which have been declared. */
  done: Set<string>;
  readonly nodes: Map<string, NodeResources>;
  /** Which nodes take no jobs, and what of that has changed. */
  readonly conditions: ReturnType<typeof createConditions>;
}

export const createMemory = (): Memory => ({
  ...{ live: new Map(), done: new Set(), nodes: new Map(), conditions: createConditions() },
});

export interface Following {
  readonly slurm: Slurm;
  readonly settings: SlurmSettings;
  readonly memory: Memory;
  readonly sink: SourceSink;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
}

export const termsOf = ({ settings, memory }: Pick<Following, 'settings' | 'memory'>): Terms => ({
  cluster: settings.cluster,
  noAccount: settings.account,
  indicesAreMinors: settings.indices === 'minor',
  shortNodeNames: settings.shortNodeNames,
  nodes: memory.nodes,
});

/**
 * Each run of an answer. Rows of another cluster, such as of a federation, are left out; a controller that has no others
 * is another cluster's: `OtherCluster`.
 */
export async function* runsIn(
  { settings, nowMs }: Following,
  { rows, zoneless, shared = false }: RowsOf,
  origin: 'controller' | 'accounting',
  note: (problem: { subject: string; message: string }) => void,
): AsyncGenerator<SlurmJob> {
  let own = 0;
  let other: string | null = null;
  for await (const row of rows) {
    if (row === undefined) {
      note({ subject: 'a row', message: 'cannot be read, or is too large: it is skipped' });
      continue;
    }
    const { job, problems } = readJob(row, { origin, zoneless, nowMs: nowMs() });
    for (const problem of problems) note(problem);
    if (job === null) continue;
    if (isOther(settings.cluster, job.cluster)) {
      other ??= job.cluster;
      if (!shared)
        note({
          subject: `job ${job.jobId}`,
          message: `is of another cluster than ${settings.cluster}: it is left out`,
        });
      continue;
    }
    own += 1;
    yield job;
  }
  if (own === 0 && origin === 'controller') assertCluster(settings.cluster, other);
}

/** Declares in parts of a fixed size. `declared` is called once the service has the job, and not where it fails. */
export function createBatch(sink: SourceSink) {
  let waiting: { job: Declaration; declared: () => void }[] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const now = waiting;
    waiting = [];
    await sink.declare(now.map(({ job }) => job));
    for (const { declared } of now) declared();
  };
  return {
    flush,
    async add(job: Declaration, declared: () => void = () => undefined): Promise<void> {
      waiting.push({ job, declared });
      if (waiting.length >= BATCH) await flush();
    },
  };
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
