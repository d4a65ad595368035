/** Days of a node as an agent would send them: 8 devices, each with one or two processes of one job, in 60-second windows. */
import type { Batch, DeviceFact, ProcessFact, Tenancy } from '../../api/contract/batch.ts';
import { CLUSTER, device, HOUR, MINUTE, processFact, Stream } from '../store/site.ts';

export const DAY = 24 * HOUR;
const DEVICES = 8;
const JOB_CGROUP = (job: string): string =>
  `0::/system.slice/slurmstepd.scope/job_${job}/step_0/user/task_0\n`;

/** Of one device and window: on odd devices two processes share it. */
const tenantsOn = (at: number): number => (at % 2 === 1 ? 2 : 1);

/** Spans times processes of an hour with 60-second windows. */
export const PROCESS_SPANS_PER_HOUR =
  60 * Array.from({ length: DEVICES }, (_, at) => tenantsOn(at)).reduce((a, b) => a + b, 0);

interface NodeDays {
  readonly node: string;
  readonly gpus: readonly DeviceFact[];
  /** The batches of an hour, one a minute. Hours come in order. */
  hour(hourMs: number): Batch[];
}

/** A repeatable source of numbers below a limit. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % limit;
  };
}

/** `job`: whose control group its processes are in, declared or not. */
export function createNodeDays(node: string, job: string, seed: number, cluster = CLUSTER): NodeDays {
  const random = createRandom(seed);
  const stream = new Stream(node);
  const gpus = Array.from({ length: DEVICES }, (_, at) => device(node, at));
  const cgroup = JOB_CGROUP(job);
  const tenants = gpus.map((_, at): ProcessFact[] =>
    Array.from({ length: tenantsOn(at) }, (_unused, which) =>
      processFact(1000 + 10 * at + which, { cgroup }),
    ),
  );

  const tenancy = (at: number, startMs: number): Tenancy => {
    const here = tenants[at] ?? [];
    const activeMs = 45_000 + random(15_001);
    const firstMs = here.length === 1 ? activeMs : random(activeMs + 1);
    return {
      device: gpus[at]?.uuid ?? '',
      tenants: here.map(({ key: process }) => ({
        ...{ process, type: 'C', memoryBytes: 60_000_000_000 + random(1_000_000), gpuInstance: null },
      })),
      startMs,
      lengthMs: [MINUTE],
      activeMs: [activeMs],
      shareMs: here.map((_, which) => [which === 0 ? firstMs : activeMs - firstMs]),
      method: here.length === 1 ? 'sole' : 'sm_share',
      conflictMs: [],
      partition: [],
    };
  };

  return {
    node,
    gpus,
    hour: (hourMs) =>
      Array.from({ length: 60 }, (_, minute) => {
        const fromMs = hourMs + minute * MINUTE;
        const tenancies = gpus.map((_gpu, at) => tenancy(at, fromMs));
        const first = minute === 0 ? { inventory: [...gpus], processes: tenants.flat() } : {};
        return stream.batch(fromMs, fromMs + MINUTE, { cluster, tenancies, ...first });
      }),
  };
}
