// One verdict a test: what a cell’s time becomes, and why.
import { describe, expect, test } from 'vitest';
import { CONDITIONS } from '../../api/contract/sources.ts';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry } from '../../api/domain/cell.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  cell,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  pidOf,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from './domain-facts.ts';

const ACTIVE_MS = 50 * MINUTE_MS;
const REST_MS = HOUR_MS - ACTIVE_MS;

const entriesOf = (facts: CellFacts): readonly Entry[] => attribute(facts).entries;
const unaccounted = (facts: CellFacts): Entry[] =>
  entriesOf(facts).filter((entry) => entry.bucket === 'unaccounted');
const reasons = (facts: CellFacts): (string | null)[] => [
  ...new Set(unaccounted(facts).map((entry) => entry.reason)),
];
/** One process, active for 50 of the 60 minutes. */
const busy = (pid = 100): CellFacts['spans'] => [span(0, HOUR_MS, { [pid]: ACTIVE_MS })];

describe('used, held and idle', () => {
  test('a declared process on its job’s device is used, the rest of the hour is held', () => {
    const j = job('8101');
    const entries = entriesOf(
      cell({ processes: [processFact(100)], jobs: [j], holdings: [holds(j)], spans: busy() }),
    );
    expect(entries).toHaveLength(2);
    expect(entries.find((entry) => entry.bucket === 'used')).toMatchObject({
      ms: ACTIVE_MS,
      holder: 'j_8101',
      job: 'j_8101',
      process: pidOf(100),
      evidence: 'cgroup',
      provisional: false,
      suspicious: false,
    });
    expect(entries.find((entry) => entry.bucket === 'held')).toMatchObject({
      ms: REST_MS,
      holder: 'j_8101',
      activity: 'resident',
    });
  });

  test('a device that nobody holds and nothing is on is idle', () => {
    expect(entriesOf(cell({ spans: [span(0, HOUR_MS, {})] }))).toMatchObject([
      { bucket: 'idle', ms: HOUR_MS, holder: null, activity: 'none' },
    ]);
  });

  test('a held device with nothing on it is held', () => {
    const j = job('8101');
    const entries = entriesOf(cell({ jobs: [j], holdings: [holds(j)], spans: [span(0, HOUR_MS, {})] }));
    expect(entries).toMatchObject([{ bucket: 'held', ms: HOUR_MS, holder: 'j_8101', activity: 'none' }]);
  });

  test('a job that ended in the hour holds up to its end only', () => {
    const j = job('8101', { endMs: 20 * MINUTE_MS });
    const sums = sumEntries(
      entriesOf(cell({ jobs: [j], holdings: [holds(j)], spans: [span(0, HOUR_MS, {})] })),
    );
    expect(sums).toMatchObject({
      heldMs: 20 * MINUTE_MS,
      idleMs: 40 * MINUTE_MS,
      allocatedMs: 20 * MINUTE_MS,
    });
  });
});

describe('unobserved', () => {
  test('a gap is unobserved with its cause, silence with its own, inside and outside of a holder', () => {
    const j = job('8101', { endMs: 30 * MINUTE_MS });
    const entries = entriesOf(
      cell({
        jobs: [j],
        holdings: [holds(j)],
        spans: [span(0, 10 * MINUTE_MS, {})],
        gaps: [{ fromMs: 10 * MINUTE_MS, toMs: 40 * MINUTE_MS, reason: 'tool_timeout' }],
      }),
    );
    const lost = entries.filter((entry) => entry.bucket === 'unobserved');
    expect(new Set(lost.map((entry) => entry.activity))).toEqual(new Set(['unknown']));
    expect(lost.map(({ cause, holder, ms }) => ({ cause, holder, ms }))).toEqual([
      { cause: 'tool_timeout', holder: 'j_8101', ms: 20 * MINUTE_MS },
      { cause: 'tool_timeout', holder: null, ms: 10 * MINUTE_MS },
      { cause: 'agent_silent', holder: null, ms: 20 * MINUTE_MS },
    ]);
  });

  test('silence before a gap, and several gaps, each have their own cause', () => {
    const gap = (from: number, to: number, reason: 'tool_timeout' | 'tool_failed') => ({
      ...{ fromMs: from * MINUTE_MS, toMs: to * MINUTE_MS, reason },
    });
    const facts = cell({
      spans: [span(0, 10 * MINUTE_MS, {}), span(30 * MINUTE_MS, 40 * MINUTE_MS, {})],
      gaps: [gap(15, 20, 'tool_timeout'), gap(20, 30, 'tool_failed'), gap(50, 60, 'tool_timeout')],
    });
    const lost = entriesOf(facts).filter((entry) => entry.bucket === 'unobserved');
    expect(lost.map(({ cause, fromMs, ms }) => [cause, fromMs / MINUTE_MS, ms / MINUTE_MS])).toEqual([
      ['agent_silent', 10, 15],
      ['tool_timeout', 15, 15],
      ['tool_failed', 20, 10],
    ]);
  });

  test('idle and unmeasured time have what a scheduler says of the node, the gravest word first; use has none', () => {
    const [grave, mild] = [CONDITIONS[0], CONDITIONS[1]];
    const during = (condition: (typeof CONDITIONS)[number], from: number, to: number) => ({
      ...{ condition, fromMs: from * MINUTE_MS, toMs: to * MINUTE_MS },
    });
    const facts = {
      ...cell({
        processes: [processFact(100, { cgroup: SESSION_CGROUP })],
        spans: [span(0, 30 * MINUTE_MS, {}), span(40 * MINUTE_MS, HOUR_MS, { 100: 20 * MINUTE_MS })],
      }),
      conditions: [during(mild, 10, 45), during(grave, 20, 35)],
    };
    const shown = entriesOf(facts).map(({ bucket, condition, ms }) => [bucket, condition, ms / MINUTE_MS]);
    expect(shown).toEqual([
      ['idle', undefined, 10],
      ['idle', mild, 10],
      ['idle', grave, 10],
      ['unobserved', grave, 5],
      ['unobserved', mild, 5],
      ['unaccounted', undefined, 20],
    ]);
  });

  test('nothing is booked after the agent’s watermark, nor outside of capacity', () => {
    const facts = cell({
      capacity: [{ fromMs: 10 * MINUTE_MS, toMs: HOUR_MS }],
      bookedToMs: 30 * MINUTE_MS,
      spans: [span(0, HOUR_MS, {})],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      capacityMs: 20 * MINUTE_MS,
      idleMs: 20 * MINUTE_MS,
    });
  });

  test('an hour that is wholly pending has no entries', () => {
    expect(attribute(cell({ bookedToMs: 0 }))).toEqual({ entries: [], settlesAtMs: null });
  });
});

describe('reasons', () => {
  test('no_job: a process of a login session on a free device', () => {
    const facts = cell({ processes: [processFact(100, { cgroup: SESSION_CGROUP })], spans: busy() });
    expect(reasons(facts)).toEqual(['no_job']);
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      unaccountedActiveMs: ACTIVE_MS,
      unaccountedMs: HOUR_MS,
    });
  });

  test('no_job: a process of which nothing is known', () => {
    expect(reasons(cell({ spans: busy() }))).toEqual(['no_job']);
  });

  test('no_process: the device works and no process shows', () => {
    const facts = cell({ spans: [span(0, HOUR_MS, {}, ACTIVE_MS)] });
    expect(unaccounted(facts)).toMatchObject([
      { reason: 'no_process', ms: ACTIVE_MS, process: null, provisional: false },
    ]);
    expect(sumEntries(entriesOf(facts)).idleMs).toBe(REST_MS);
  });

  test('unknown_job: the kernel names a job that nobody declared', () => {
    expect(reasons(cell({ processes: [processFact(100)], spans: busy() }))).toEqual(['unknown_job']);
  });

  test('unknown_job: only the environment names a job that nobody declared', () => {
    const process = processFact(100, {
      cgroup: SESSION_CGROUP,
      claims: [{ name: 'SLURM_JOB_ID', value: '9' }],
    });
    expect(reasons(cell({ processes: [process], spans: busy() }))).toEqual(['unknown_job']);
  });

  test('unverified_claim: only the environment names a declared job, and nothing is booked inside that job', () => {
    const j = job('8120');
    const process = processFact(100, {
      cgroup: SESSION_CGROUP,
      claims: [{ name: 'SLURM_JOB_ID', value: '8120' }],
    });
    const facts = cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(unaccounted(facts)).toMatchObject([
      { reason: 'unverified_claim', evidence: 'claim', job: null, holder: 'j_8120', ms: ACTIVE_MS },
    ]);
  });

  test('a site may accept claims', () => {
    const j = job('8120');
    const process = processFact(100, {
      cgroup: SESSION_CGROUP,
      claims: [{ name: 'SLURM_JOB_ID', value: '8120' }],
    });
    const policy = { ...DEFAULT_POLICY, weakestEvidence: 'claim' } as const;
    const facts = cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy(), policy });
    expect(sumEntries(entriesOf(facts)).usedMs).toBe(ACTIVE_MS);
  });

  test('wrong_user: inside the job, but as another account', () => {
    const j = job('8101');
    const process = processFact(100, { uid: 2002, user: 'bob' });
    expect(reasons(cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual([
      'wrong_user',
    ]);
  });

  test('a container that runs as root is not the wrong user', () => {
    const uid = '0b5d0a52-9c34-4a4e-9f1c-3d8ac5a5e001';
    const j = job('p', { source: 'kubernetes', boundaries: [`kubernetes:${uid}`] });
    const process = processFact(100, {
      uid: 0,
      user: 'root',
      cgroup: `0::/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice/cri-containerd-${'a'.repeat(64)}.scope\n`,
    });
    expect(reasons(cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual(
      [],
    );
  });

  test('a job’s times divide the hour of a device that it does not hold', () => {
    const j = job('8101', { startMs: 10 * MINUTE_MS, endMs: 30 * MINUTE_MS });
    const facts = cell({
      processes: [processFact(100)],
      jobs: [j],
      spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
    });
    expect(unaccounted(facts).map(({ reason, ms }) => [reason, ms / MINUTE_MS])).toEqual([
      ['before_start', 10],
      ['outside_allocation', 20],
      ['after_end', 30],
    ]);
  });

  test('before_start: work inside the job’s boundary before the job starts', () => {
    const j = job('8101', { startMs: 30 * MINUTE_MS });
    const facts = cell({ processes: [processFact(100)], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(reasons(facts)).toEqual(['before_start']);
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      usedMs: ACTIVE_MS / 2,
      unaccountedActiveMs: ACTIVE_MS / 2,
    });
  });

  test('after_end: an orphan works on, also within the grace', () => {
    const j = job('8101', { endMs: 30 * MINUTE_MS });
    const facts = cell({ processes: [processFact(100)], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(unaccounted(facts).filter((entry) => entry.activity === 'active')).toMatchObject([
      { reason: 'after_end', job: 'j_8101', holder: null, ms: ACTIVE_MS / 2, fromMs: 30 * MINUTE_MS },
    ]);
  });

  test('after_end: the orphan’s share on a device that the next job holds is inside that job', () => {
    const old = job('8130', { endMs: 0 });
    const next = job('8131', { user: 'bob', uid: 2002 });
    const facts = cell({
      processes: [
        processFact(100, { cgroup: slurmCgroup(8130) }),
        processFact(200, { cgroup: slurmCgroup(8131), uid: 2002, user: 'bob' }),
      ],
      jobs: [old, next],
      holdings: [holds(next)],
      spans: [span(0, HOUR_MS, { 100: 20 * MINUTE_MS, 200: 30 * MINUTE_MS })],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      usedMs: 30 * MINUTE_MS,
      heldMs: 10 * MINUTE_MS,
      unaccountedInsideMs: 20 * MINUTE_MS,
      allocatedMs: HOUR_MS,
    });
    expect(reasons(facts)).toEqual(['after_end']);
  });

  test('outside_allocation: a job’s own process on a device that another job holds', () => {
    const mine = job('8151');
    const theirs = job('8150', { uid: 2002, user: 'bob' });
    const facts = cell({
      processes: [processFact(100, { cgroup: slurmCgroup(8151) })],
      jobs: [mine, theirs],
      holdings: [holds(theirs)],
      spans: busy(),
    });
    expect(unaccounted(facts)).toMatchObject([
      { reason: 'outside_allocation', job: 'j_8151', holder: 'j_8150' },
    ]);
  });

  test('foreign_in_job: inside the boundary, and none of what the job declared', () => {
    const j = job('8101', { declares: { executables: ['/opt/roll/**'], root: null } });
    const facts = cell({
      processes: [
        processFact(100, { path: '/opt/roll/bin/python3.11' }),
        processFact(101, { path: '/tmp/.x/miner', parentPid: 100 }),
      ],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 100: 10 * MINUTE_MS, 101: 40 * MINUTE_MS })],
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: 0 }],
    });
    expect(unaccounted(facts)).toMatchObject([
      { reason: 'foreign_in_job', job: 'j_8101', process: pidOf(101), provisional: false },
    ]);
  });
});
