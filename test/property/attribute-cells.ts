// Arbitrary cells: jobs, processes, a time line of spans and gaps, holdings, capacity and a watermark.
import fc from 'fast-check';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
import { apportion } from '../../api/domain/apportion.ts';
import { type CellFacts, type ObservedProcess, type ObservedSpan, processId } from '../../api/domain/cell.ts';
import type { Job } from '../../api/domain/job.ts';
import {
  BOOT,
  cell,
  HOUR_MS,
  holds,
  job,
  pidOf,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from '../unit/domain-facts.ts';

export const RUNS = { numRuns: 150 };
export const PIDS = [11, 12, 13, 14] as const;
export const JOB_IDS = ['1', '2', '3'] as const;

export const moment = fc.integer({ min: -600_000, max: HOUR_MS + 600_000 });

export const aJob = (id: string): fc.Arbitrary<Job> =>
  fc
    .record({
      startMs: moment,
      lengthMs: fc.option(fc.integer({ min: 0, max: HOUR_MS })),
      recordedMs: moment,
      selfDeclared: fc.boolean(),
      boundaries: fc.constantFrom<readonly string[]>([], [`slurm:${id}`], [`slurm:${id}`], ['slurm:9']),
      executables: fc.constantFrom<readonly string[]>([], ['/usr/**'], ['/opt/x']),
      uid: fc.constantFrom(null, 2001, 2002),
    })
    .map((from) =>
      job(id, {
        startMs: from.startMs,
        endMs: from.lengthMs === null ? null : from.startMs + from.lengthMs,
        firstRecordedAtMs: from.recordedMs,
        selfDeclared: from.selfDeclared,
        boundaries: from.boundaries,
        declares: { executables: from.executables, root: null },
        user: null,
        uid: from.uid,
      }),
    );

export const aProcess = (pid: number): fc.Arbitrary<ObservedProcess> =>
  fc
    .record({
      cgroup: fc.constantFrom(SESSION_CGROUP, ...JOB_IDS.map(slurmCgroup), slurmCgroup(9), '0::/\n'),
      claim: fc.option(fc.constantFrom(...JOB_IDS, '9')),
      path: fc.constantFrom(
        '/usr/bin/python3',
        '/opt/x',
        '/tmp/m',
        '/usr/bin/bash',
        '/nvidia-cuda-mps-server',
      ),
      uid: fc.constantFrom(2001, 2002),
      startedMs: fc.option(moment),
      parentPid: fc.constantFrom(undefined, ...PIDS.filter((other) => other < pid)),
    })
    .map((from) =>
      processFact(pid, {
        cgroup: from.cgroup,
        path: from.path,
        uid: from.uid,
        user: null,
        startedMs: from.startedMs,
        ...(from.parentPid === undefined ? {} : { parentPid: from.parentPid }),
        claims: from.claim === null ? [] : [{ name: 'SLURM_JOB_ID', value: from.claim }],
      }),
    );

/** Instances of a device that counts seven slices, at most all of them, ascending. */
const instances = fc
  .uniqueArray(fc.record({ gpuInstance: fc.nat(12), slices: fc.constantFrom(1, 2, 3, 4) }), {
    selector: (one) => one.gpuInstance,
    maxLength: 7,
  })
  .map((all) => {
    const fitting: { gpuInstance: number; slices: number }[] = [];
    for (const one of all)
      if (fitting.reduce((sum, { slices }) => sum + slices, 0) + one.slices <= 7) fitting.push(one);
    return fitting.sort((a, b) => a.gpuInstance - b.gpuInstance);
  });

const aStretch = fc.record({
  lengthMs: fc.integer({ min: 1, max: 600_000 }),
  what: fc.constantFrom('span', 'span', 'span', 'unknown', 'divided', 'gap', 'silence'),
  activeMilli: fc.integer({ min: 0, max: 1000 }),
  /** Of what is not active. */
  conflictMilli: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1000 })),
  method: fc.constantFrom('sm_share' as const, 'equal' as const),
  tenants: fc
    .tuple(
      ...PIDS.map((pid) =>
        fc.record({
          pid: fc.constant(pid),
          here: fc.boolean(),
          type: fc.constantFrom('C', 'C', 'G', 'C+G', 'M+C', ACCOUNTED_TYPE),
          weight: fc.nat(100),
          /** Which instance, counted through; beyond the last: none is told. */
          instance: fc.nat(9),
        }),
      ),
    )
    .map((all) => all.filter(({ here }) => here)),
  instances,
});
type Stretch = typeof aStretch extends fc.Arbitrary<infer T> ? T : never;

function spanOf(stretch: Stretch, fromMs: number): ObservedSpan {
  const { lengthMs, instances: parts } = stretch;
  const known = stretch.what === 'span';
  const activeMs = Math.floor((lengthMs * stretch.activeMilli) / 1000);
  const conflictMs = Math.floor(((lengthMs - activeMs) * stretch.conflictMilli) / 1000);
  const shares = apportion(
    activeMs,
    stretch.tenants.map(({ weight }) => weight),
  );
  const divided = stretch.what === 'divided' && parts.length > 0;
  return {
    ...span(fromMs, fromMs + lengthMs, {}, activeMs),
    activeMs: known ? activeMs : null,
    conflictMs: known ? conflictMs : 0,
    method: stretch.method,
    tenants: stretch.tenants.map(({ pid, type, instance }, index) => ({
      process: type === ACCOUNTED_TYPE ? processId(BOOT, `${pid}/?${fromMs}`) : pidOf(pid),
      type,
      gpuInstance: divided ? (parts[instance % (parts.length + 1)]?.gpuInstance ?? null) : null,
      activeMs: known ? (shares[index] ?? 0) : null,
    })),
    partition: divided ? { slices: 7, instances: parts } : null,
  };
}

/** Consecutive stretches, each a span, a gap or nothing. */
const aTimeline = fc.array(aStretch, { maxLength: 12 });

export const aCell: fc.Arbitrary<CellFacts> = fc
  .record({
    jobs: fc.tuple(...JOB_IDS.map(aJob)),
    processes: fc.tuple(...PIDS.map(aProcess)),
    timeline: aTimeline,
    startMs: fc.integer({ min: -300_000, max: 300_000 }),
    holdings: fc.array(
      fc.record({
        of: fc.nat(2),
        fromMs: moment,
        lengthMs: fc.integer({ min: 0, max: HOUR_MS }),
        shareMilli: fc.constantFrom(1000, 500, 250, 333),
      }),
      { maxLength: 4 },
    ),
    capacity: fc.array(fc.tuple(moment, fc.integer({ min: 1, max: HOUR_MS })), {
      minLength: 1,
      maxLength: 3,
    }),
    bookedToMs: fc.constantFrom(HOUR_MS, HOUR_MS, 1_234_567, 0),
    completeToMs: moment,
  })
  .map((from) => {
    const spans: ObservedSpan[] = [];
    const gaps: CellFacts['gaps'][number][] = [];
    let atMs = from.startMs;
    for (const stretch of from.timeline) {
      const toMs = atMs + stretch.lengthMs;
      if (stretch.what === 'gap') gaps.push({ fromMs: atMs, toMs, reason: 'tool_failed' });
      else if (stretch.what !== 'silence') spans.push(spanOf(stretch, atMs));
      atMs = toMs;
    }
    return cell({
      jobs: from.jobs,
      processes: from.processes,
      spans,
      gaps,
      holdings: from.holdings.flatMap(({ of, fromMs, lengthMs: ms, shareMilli }) => {
        const holder = from.jobs[of];
        return holder === undefined ? [] : [holds(holder, { fromMs, toMs: fromMs + ms, shareMilli })];
      }),
      capacity: from.capacity.map(([fromMs, ms]) => ({ fromMs, toMs: fromMs + ms })),
      bookedToMs: from.bookedToMs,
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: from.completeToMs }],
    });
  });
