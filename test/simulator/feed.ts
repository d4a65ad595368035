/**
 * The scheduler feeds of the simulated site: at virtual times they declare jobs that started, end those that ended, and
 * say up to when their word is complete, with the requests that a real feed would send.
 */
import { DeclaredJob, Ignored, type ServiceClient } from './service-client.ts';
import type { Scheduler } from './site-nodes.ts';
import type { SimJob } from './workload.ts';

const SOURCE_INSTANCES: Readonly<Record<Scheduler, string>> = { slurm: 'hpc', kubernetes: 'services' };
/** Requests under way at once. */
const PARALLEL = 8;

export interface Feed {
  /** Declares everything up to `toMs`, then puts the watermarks there. Not to be called again before it resolves. */
  advance(toMs: number): Promise<void>;
  /** Jobs declared so far. */
  declared(): number;
}

export function createFeed(jobs: readonly SimJob[], client: ServiceClient): Feed {
  /** Ascending by start. */
  const starts = [...jobs].sort((a, b) => a.startMs - b.startMs);
  let next = 0;
  const running = new Map<SimJob, string>();
  const sources = [...new Set(jobs.map((job) => job.source))];
  let declared = 0;

  const start = async (job: SimJob, toMs: number): Promise<void> => {
    const ended = job.endMs <= toMs;
    const { id } = await client.send('POST', '/v1/jobs', DeclaredJob, declarationOf(job, ended));
    declared += 1;
    if (!ended) running.set(job, id);
  };
  const end = async (job: SimJob, id: string): Promise<void> => {
    await client.send('PATCH', `/v1/jobs/${id}`, Ignored, { end: new Date(job.endMs).toISOString() });
    running.delete(job);
  };

  return {
    declared: () => declared,
    async advance(toMs) {
      const due: (() => Promise<void>)[] = [];
      for (const [job, id] of running) if (job.endMs <= toMs) due.push(() => end(job, id));
      for (let job = starts[next]; job !== undefined && job.startMs <= toMs; job = starts[next]) {
        const starting = job;
        due.push(() => start(starting, toMs));
        next += 1;
      }
      await inParallel(due);
      const completeTo = new Date(toMs).toISOString();
      await inParallel(
        sources.map(
          (source) => () =>
            client.send('PUT', `/v1/sources/${source}/${SOURCE_INSTANCES[source]}`, Ignored, { completeTo }),
        ),
      );
    },
  };
}

async function inParallel(tasks: readonly (() => Promise<unknown>)[]): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let task = tasks[next]; task !== undefined; task = tasks[next]) {
      next += 1;
      await task();
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, tasks.length) }, work));
}

const declarationOf = (job: SimJob, ended: boolean): Record<string, unknown> => ({
  source: job.source,
  sourceInstance: SOURCE_INSTANCES[job.source],
  externalId: job.externalId,
  account: job.person.account,
  user: job.person.name,
  uid: job.person.uid,
  name: job.name,
  start: new Date(job.startMs).toISOString(),
  end: ended ? new Date(job.endMs).toISOString() : null,
  allocations: job.placements.map(({ node, devices }) => ({
    node: node.name,
    devices: devices.flatMap((device) => node.devices[device]?.uuid ?? []),
  })),
  executables: job.declares,
});
