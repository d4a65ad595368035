/** A sink that keeps what it hears, as the service would: the newest declaration of each job. */

import { JobIn } from '../../api/contract/jobs.ts';
import type { Declaration, NodeCondition, SourceProblem, SourceSink } from '../../api/schedulers/source.ts';

export class RecordingSink implements SourceSink {
  readonly jobs = new Map<string, JobIn>();
  readonly told: string[] = [];
  readonly problems: SourceProblem[] = [];
  readonly nodeConditions: NodeCondition[] = [];
  readonly ended: string[] = [];
  completeToMs = 0;

  async declare(jobs: readonly Declaration[]): Promise<void> {
    for (const job of jobs) {
      // What the service refuses would fail here.
      const whole = JobIn.parse(job);
      this.jobs.set(whole.externalId, whole);
      this.told.push(whole.externalId);
    }
  }

  async complete(completeToMs: number): Promise<void> {
    this.completeToMs = Math.max(this.completeToMs, completeToMs);
  }

  async endMissing(running: ReadonlySet<string>, endMs: number): Promise<void> {
    for (const [id, job] of this.jobs)
      if (job.end === null && !running.has(id) && Date.parse(job.start) < endMs) {
        this.jobs.set(id, { ...job, end: new Date(endMs).toISOString() });
        this.ended.push(id);
      }
  }

  async conditions(conditions: readonly NodeCondition[]): Promise<void> {
    this.nodeConditions.push(...conditions);
  }

  problem(problem: SourceProblem): void {
    this.problems.push(problem);
  }
}

/** A declaration by the name of its pod. */
export const jobOf = (sink: RecordingSink, pod: string): JobIn => {
  const found = [...sink.jobs.values()].find((job) => job.attributes['pod'] === pod);
  if (found === undefined)
    throw new Error(`no job of the pod ${pod}; known: ${[...sink.jobs.keys()].join(' ')}`);
  return found;
};
