/** The simulated site of the demo: nodes, the jobs of some days, troubles, and one story for live time. Same seed, same site. */

import type { RateCard } from '../../api/contract/finance.ts';
import type { FleetIn } from '../../api/contract/fleet.ts';
import { planBlemishes } from './blemishes.ts';
import { createPids, type Pids, startJob } from './job-processes.ts';
import { createRandom, type Random } from './random.ts';
import { planRome, type RomeStory } from './rome.ts';
import { A100, buildNodes, H100, type SiteNode } from './site-nodes.ts';
import { planJobs, type SimJob } from './workload.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** The plan of jobs goes on into live time for this long. */
const LIVE_HORIZON_MS = 12 * HOUR_MS;

export interface SiteOptions {
  readonly seed: number;
  readonly nodes: number;
  /** The history: a full UTC hour to the moment where live time begins. */
  readonly startMs: number;
  readonly endMs: number;
}

export interface Site extends SiteOptions {
  readonly cluster: string;
  readonly fleet: readonly SiteNode[];
  /** Ascending by start; some end after `endMs`. */
  readonly jobs: readonly SimJob[];
  readonly rome: RomeStory;
  readonly random: Random;
  readonly pids: Pids;
  readonly rates: RateCard;
  readonly groups: typeof FleetIn._input;
}

export function createSite(options: SiteOptions): Site {
  const { seed, nodes, startMs, endMs } = options;
  const random = createRandom(seed);
  const fleet = buildNodes(random, nodes, startMs);
  const stage = { nodes: fleet, endMs };
  const rome = planRome(stage);
  const stories = [...planBlemishes(stage, startMs), rome];
  const planned = planJobs(
    random,
    fleet,
    startMs,
    endMs + LIVE_HORIZON_MS,
    stories.flatMap(({ reserved }) => reserved),
  );
  const jobs = [...planned, ...stories.flatMap((story) => story.jobs)].sort((a, b) => a.startMs - b.startMs);
  const pids = createPids(random);
  const started = new Set(planned);
  // In the order of starts, so that pids ascend as on a real node.
  const acts = [
    ...jobs
      .filter((job) => started.has(job))
      .map((job) => ({ atMs: job.startMs, play: () => void startJob(random, pids, job) })),
    ...stories.map((story) => ({ atMs: story.fromMs, play: () => story.play(random, pids, jobs) })),
  ].sort((a, b) => a.atMs - b.atMs);
  for (const act of acts) act.play();
  return {
    ...options,
    cluster: 'demo',
    ...{ fleet, jobs, rome, random, pids },
    rates: {
      effectiveFrom: new Date(Math.floor((startMs - DAY_MS) / HOUR_MS) * HOUR_MS).toISOString(),
      currency: 'EUR',
      perGpuHour: { [H100.name]: '3.10', [A100.name]: '1.85', default: '2.00' },
    },
    groups: {
      nodes: fleet.map((node) => ({
        node: node.name,
        group: node.scheduler === 'slurm' ? 'training' : 'services',
        mode: 'live',
        from: new Date(startMs).toISOString(),
        devices: node.devices.map(({ uuid, model, index }) => ({ uuid, model: model.name, index })),
      })),
    },
  };
}
