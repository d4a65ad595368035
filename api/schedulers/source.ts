/**
 * A source of declarations: a scheduler that is followed, one folder or file each in `api/schedulers/`. A source reads and
 * translates; `run.ts` starts it, keeps it going, and takes what it says to the service. What was declared already is
 * known to the service: a source keeps no state of its own on disk.
 */
import type { z } from 'zod';
import type { JobIn } from '../contract/jobs.ts';

/** A job as a source says it: what POST /v1/jobs takes, defaults left out. */
export type Declaration = z.input<typeof JobIn>;

/** What could not be used, in words for the person who runs the scheduler. Never holds a credential. */
export interface SourceProblem {
  /** The row, job, node or call that it is about, as the scheduler names it; null: all of the source. */
  readonly subject: string | null;
  /** What is wrong and what mends it: the field by its name. */
  readonly message: string;
}

/** Why devices of a node have no job, as the scheduler says it: the reason of idle and unobserved time. */
export interface NodeCondition {
  readonly node: string;
  readonly condition: 'drained' | 'down' | 'reserved' | 'maintenance';
  readonly fromMs: number;
  /** null: still so. */
  readonly toMs: number | null;
  /** The scheduler's own words, at most 300 characters. */
  readonly reason: string;
}

/** Where a source's words go. Each resolves once the service has them durably: a source that awaits is never ahead of it. */
export interface SourceSink {
  /** The same job again is nothing new. A job that the service refuses becomes a problem; the others are taken. */
  declare(jobs: readonly Declaration[]): Promise<void>;
  /** "Everything up to then has been declared": what is unaccounted before it is settled. Going back is ignored. */
  complete(completeToMs: number): Promise<void>;
  /**
   * For schedulers that forget a job with its end: ends at `endMs` every job of this source and instance that the service
   * has without an end, that began before, and whose external id is not in `running`.
   */
  endMissing(running: ReadonlySet<string>, endMs: number): Promise<void>;
  conditions(conditions: readonly NodeCondition[]): Promise<void>;
  /** Something could not be used; everything else goes on. Said once for as long as it lasts. */
  problem(problem: SourceProblem): void;
}

/** One line of `gpuledger sources test`. */
export interface SourceCheck {
  readonly name: string;
  readonly ok: boolean;
  /** What was seen, and for a failure how to mend it. */
  readonly message: string;
}

export interface Source {
  /** The name under which its jobs are declared, such as `slurm`. */
  readonly source: string;
  /** Which one of that kind, such as the cluster's name: job ids are unique within it. */
  readonly instance: string;
  /**
   * Declares everything that ran after `sinceMs` (null: as far back as the scheduler remembers), then what comes, until
   * `signal` aborts. Throws where it cannot go on: it is started again, later and later, from where the service is.
   */
  follow(sinceMs: number | null, sink: SourceSink, signal: AbortSignal): Promise<void>;
  /** Whether it would work from here, without declaring anything. */
  check(signal: AbortSignal): Promise<readonly SourceCheck[]>;
}
