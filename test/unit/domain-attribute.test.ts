// One verdict a test: what a cell's time becomes, and why.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry } from '../../api/domain/cell.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  BOOT,
  cell,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  NODE,
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
    expect(lost.map(({ cause, holder, ms }) => ({ cause, holder, ms }))).toEqual([
      { cause: 'tool_timeout', holder: 'j_8101', ms: 20 * MINUTE_MS },
      { cause: 'tool_timeout', holder: null, ms: 10 * MINUTE_MS },
      { cause: 'agent_silent', holder: null, ms: 20 * MINUTE_MS },
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

describe('evidence', () => {
  test('lineage: a descendant of the declared root, whatever its cgroup', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 500 };
    const j = job('r', { source: 'run', boundaries: [], declares: { executables: [], root } });
    const processes = [
      processFact(50, { cgroup: SESSION_CGROUP, path: '/usr/bin/bash' }),
      processFact(51, { cgroup: SESSION_CGROUP, parentPid: 50 }),
    ];
    const entries = entriesOf(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(51) }));
    expect(entries.find((entry) => entry.bucket === 'used')).toMatchObject({ evidence: 'lineage' });
  });

  test('lineage: the same pid of another start is another process', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 499 };
    const j = job('r', { source: 'run', boundaries: [], declares: { executables: [], root } });
    const processes = [processFact(50, { cgroup: SESSION_CGROUP })];
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(50) }))).toEqual([
      'no_job',
    ]);
  });

  test('binding: the device is bound to one job without boundary or root, and the user matches', () => {
    const j = job('b', { boundaries: [] });
    const processes = [processFact(100, { cgroup: SESSION_CGROUP })];
    const facts = cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(entriesOf(facts).find((entry) => entry.bucket === 'used')).toMatchObject({ evidence: 'binding' });
  });

  test('binding: another account is not bound', () => {
    const j = job('b', { boundaries: [] });
    const processes = [processFact(100, { cgroup: SESSION_CGROUP, uid: 1, user: 'bob' })];
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual(['no_job']);
  });

  test('binding: two jobs on one device bind nothing', () => {
    const jobs = [job('b', { boundaries: [] }), job('c', { boundaries: [] })];
    const processes = [processFact(100, { cgroup: SESSION_CGROUP })];
    expect(
      reasons(cell({ processes, jobs, holdings: jobs.map((one) => holds(one)), spans: busy() })),
    ).toEqual(['no_job']);
  });

  test('a policy that wants a kernel boundary does not accept lineage', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 500 };
    const j = job('r', { boundaries: [], declares: { executables: [], root } });
    const processes = [processFact(50, { cgroup: SESSION_CGROUP })];
    const policy = { ...DEFAULT_POLICY, weakestEvidence: 'cgroup' } as const;
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(50), policy }))).toEqual([
      'unverified_claim',
    ]);
  });

  test('a process that left its job’s cgroup still belongs to it', () => {
    const j = job('8101');
    const process = processFact(100, { cgroup: SESSION_CGROUP, earlierCgroups: [slurmCgroup(8101)] });
    expect(reasons(cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual(
      [],
    );
  });

  test('a job of another cluster is no candidate', () => {
    const j = job('8101', { cluster: 'c2' });
    expect(reasons(cell({ processes: [processFact(100)], jobs: [j], spans: busy() }))).toEqual([
      'unknown_job',
    ]);
  });
});

describe('runs of one job', () => {
  const first = job('8312', { endMs: 20 * MINUTE_MS });
  const second = job('8312', {
    id: 'j_8312b',
    incarnation: 1,
    startMs: 40 * MINUTE_MS,
  });
  const parts = {
    jobs: [first, second],
    holdings: [holds(first), holds(second)],
    spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
  };

  test('a requeued job’s runs each take their own time, and between them nothing is covered', () => {
    const process = processFact(100, { cgroup: slurmCgroup(8312), startedMs: null });
    const entries = entriesOf(cell({ ...parts, processes: [process] }));
    expect(entries.map(({ reason, job: of, ms }) => ({ reason, of, ms }))).toEqual([
      { reason: null, of: 'j_8312', ms: 20 * MINUTE_MS },
      { reason: 'after_end', of: 'j_8312', ms: 20 * MINUTE_MS },
      { reason: null, of: 'j_8312b', ms: 20 * MINUTE_MS },
    ]);
  });

  test('a survivor of the first run is not the second run’s use', () => {
    const process = processFact(100, { cgroup: slurmCgroup(8312), startedMs: 5 * MINUTE_MS });
    const entries = entriesOf(cell({ ...parts, processes: [process] }));
    expect(
      entries.filter((entry) => entry.reason === 'after_end').reduce((sum, entry) => sum + entry.ms, 0),
    ).toBe(40 * MINUTE_MS);
  });
});

describe('declared executables and the baseline', () => {
  const bash = processFact(10, { path: '/usr/bin/bash' });
  const python = processFact(11, { path: '/usr/bin/python3.11', parentPid: 10 });
  const tool = processFact(12, { path: '/usr/bin/bash', parentPid: 11 });
  const other = processFact(13, { path: '/scratch/x', parentPid: 12 });
  const j = job('8101');
  const facts = cell({
    processes: [bash, python, tool, other],
    jobs: [j],
    holdings: [holds(j)],
    spans: [span(0, HOUR_MS, { 11: 20 * MINUTE_MS, 13: 30 * MINUTE_MS })],
  });

  test('a job that declares nothing: another executable deeper in its tree is used, and marked', () => {
    expect(entriesOf(facts).filter((entry) => entry.bucket === 'used')).toMatchObject([
      { process: pidOf(11), suspicious: false, ms: 20 * MINUTE_MS },
      { process: pidOf(13), suspicious: true, ms: 30 * MINUTE_MS },
    ]);
    expect(sumEntries(entriesOf(facts)).unaccountedMs).toBe(0);
  });

  test('an executable that cannot be read is not called foreign, but marked', () => {
    const declared = job('8101', { declares: { executables: ['/opt/a'], root: null } });
    const process = processFact(100, { executable: null });
    const entries = entriesOf(
      cell({ processes: [process], jobs: [declared], holdings: [holds(declared)], spans: busy() }),
    );
    expect(entries.find((entry) => entry.bucket === 'used')).toMatchObject({ suspicious: true });
  });

  test('a process that replaced its executable is judged by the one that runs', () => {
    const declared = job('8101', { declares: { executables: ['/usr/bin/python*'], root: null } });
    const process = processFact(100, {
      path: '/memfd:x',
      earlierExecutables: [{ path: '/usr/bin/python3', device: '8:1', inode: '1', deleted: false }],
    });
    expect(
      reasons(cell({ processes: [process], jobs: [declared], holdings: [holds(declared)], spans: busy() })),
    ).toEqual(['foreign_in_job']);
  });
});

describe('shared devices', () => {
  test('two jobs share by declaration: each one’s use counts in its own share first', () => {
    const a = job('1');
    const b = job('2');
    const entries = entriesOf(
      cell({
        processes: [
          processFact(100, { cgroup: slurmCgroup(1) }),
          processFact(200, { cgroup: slurmCgroup(2) }),
        ],
        jobs: [a, b],
        holdings: [holds(a, { shareMilli: 250 }), holds(b, { shareMilli: 750 })],
        spans: [span(0, HOUR_MS, { 100: 30 * MINUTE_MS, 200: 10 * MINUTE_MS })],
      }),
    );
    const of = (bucket: string, holder: string | null) =>
      entries
        .filter((entry) => entry.bucket === bucket && entry.holder === holder)
        .map(({ job: j, ms }) => [j, ms]);
    expect(of('used', 'j_1')).toEqual([['j_1', 15 * MINUTE_MS]]);
    expect(of('used', 'j_2')).toEqual([
      ['j_1', 15 * MINUTE_MS],
      ['j_2', 10 * MINUTE_MS],
    ]);
    expect(of('held', 'j_2')).toEqual([[null, 20 * MINUTE_MS]]);
  });

  test('half a device is held, the other half is idle', () => {
    const a = job('1');
    const facts = cell({
      jobs: [a],
      holdings: [holds(a, { shareMilli: 500 })],
      spans: [span(0, HOUR_MS, {})],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ heldMs: HOUR_MS / 2, idleMs: HOUR_MS / 2 });
  });

  test('two claims on the whole device count half each, and no millisecond twice', () => {
    const a = job('1');
    const b = job('2');
    const entries = entriesOf(
      cell({ jobs: [a, b], holdings: [holds(a), holds(b)], spans: [span(0, HOUR_MS, {})] }),
    );
    expect(entries.map(({ holder, ms }) => [holder, ms])).toEqual([
      ['j_1', HOUR_MS / 2],
      ['j_2', HOUR_MS / 2],
    ]);
  });

  test('undeclared contexts on a free device share what nobody executed', () => {
    const facts = cell({
      processes: [processFact(100, { cgroup: SESSION_CGROUP }), processFact(200, { cgroup: SESSION_CGROUP })],
      spans: [span(0, HOUR_MS, { 100: ACTIVE_MS, 200: 0 })],
    });
    expect(unaccounted(facts).map(({ process, activity, ms }) => ({ process, activity, ms }))).toEqual([
      { process: pidOf(100), activity: 'active', ms: ACTIVE_MS },
      { process: pidOf(100), activity: 'resident', ms: REST_MS / 2 },
      { process: pidOf(200), activity: 'resident', ms: REST_MS / 2 },
    ]);
  });

  test('an undeclared context that does not execute on a held device costs its holder nothing', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(200, { cgroup: SESSION_CGROUP })],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 200: 0 })],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ heldMs: HOUR_MS, unaccountedMs: 0 });
  });

  test('activity unknown: declared contexts are held, undeclared ones resident, in equal shares', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(100), processFact(200, { cgroup: SESSION_CGROUP })],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 100: null, 200: null })],
    });
    expect(entriesOf(facts)).toMatchObject([
      { bucket: 'held', activity: 'unknown', process: pidOf(100), ms: HOUR_MS / 2, holder: 'j_8101' },
      { bucket: 'unaccounted', activity: 'resident', process: pidOf(200), ms: HOUR_MS / 2 },
    ]);
  });

  test('activity unknown and nothing there: held or idle as ever', () => {
    const empty = { fromMs: 0, toMs: HOUR_MS, activeMs: null, method: 'none', tenants: [] } as const;
    expect(sumEntries(entriesOf(cell({ spans: [empty] }))).idleMs).toBe(HOUR_MS);
  });

  test('a declared context whose activity is unknown spills over into what no job holds', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(100)],
      jobs: [j],
      holdings: [holds(j, { shareMilli: 500 })],
      spans: [span(0, HOUR_MS, { 100: null })],
    });
    expect(entriesOf(facts)).toMatchObject([
      { bucket: 'held', holder: 'j_8101', ms: HOUR_MS / 2 },
      { bucket: 'idle', holder: null, activity: 'unknown', ms: HOUR_MS / 2 },
    ]);
  });
});

describe('whose word, and when', () => {
  const session = processFact(100, { cgroup: SESSION_CGROUP });

  test('what a record could still cover is provisional from the watermark on', () => {
    const facts = cell({
      processes: [session],
      spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: 40 * MINUTE_MS }],
    });
    const result = attribute(facts);
    expect(result.entries.map(({ provisional, ms }) => [provisional, ms])).toEqual([
      [false, 40 * MINUTE_MS],
      [true, 20 * MINUTE_MS],
    ]);
    expect(result.settlesAtMs).toBe(HOUR_MS);
  });

  test('the source that lags most decides', () => {
    const sources = [
      { source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS },
      { source: 'api', sourceInstance: 'default', completeToMs: 0 },
    ];
    const facts = cell({ processes: [session], spans: busy(), sources });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ unaccountedProvisionalMs: HOUR_MS });
  });

  test('a scheduler that cannot have made a boundary is not waited for', () => {
    const sources = [
      { source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS },
      { source: 'kubernetes', sourceInstance: 'main', completeToMs: 0 },
    ];
    const facts = cell({ processes: [processFact(100)], spans: busy(), sources });
    expect(unaccounted(facts).every((entry) => entry.reason === 'unknown_job' && !entry.provisional)).toBe(
      true,
    );
  });

  test('with no source that could answer there is nothing to wait for', () => {
    expect(attribute(cell({ processes: [session], spans: busy(), sources: [] })).settlesAtMs).toBeNull();
  });

  test('the grace at a job’s end defers the verdict until the record has passed it', () => {
    const endMs = HOUR_MS - 40_000;
    const j = job('8101', { endMs });
    const parts = { processes: [processFact(100)], jobs: [j], holdings: [holds(j)] };
    const at = (completeToMs: number) =>
      attribute(
        cell({
          ...parts,
          spans: [span(endMs, endMs + 10_000, { 100: 10_000 })],
          sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs }],
        }),
      );
    expect(at(endMs + 20_000).settlesAtMs).toBe(endMs + DEFAULT_POLICY.endGraceMs);
    expect(at(endMs + 30_000).settlesAtMs).toBeNull();
    expect(sumEntries(at(endMs + 30_000).entries).unaccountedActiveMs).toBe(10_000);
  });

  test('a self-declaration counts from a minute before it was recorded, whatever start it states', () => {
    const j = job('late', {
      source: 'api',
      boundaries: [],
      selfDeclared: true,
      startMs: 0,
      firstRecordedAtMs: 31 * MINUTE_MS,
    });
    const facts = cell({
      processes: [session],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      usedMs: 30 * MINUTE_MS,
      unaccountedMs: 30 * MINUTE_MS,
      allocatedMs: 30 * MINUTE_MS,
    });
  });

  test('a self-declared root names the earlier time before_start', () => {
    const root = { node: NODE, bootId: BOOT, pid: 100, startTicks: 1000 };
    const j = job('late', {
      boundaries: [],
      declares: { executables: [], root },
      selfDeclared: true,
      startMs: 0,
      firstRecordedAtMs: 31 * MINUTE_MS,
    });
    const facts = cell({ processes: [session], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(reasons(facts)).toEqual(['before_start']);
  });

  test('a scheduler’s late record reaches back to the start that it states', () => {
    const j = job('8101', { startMs: 0, firstRecordedAtMs: 50 * MINUTE_MS });
    const facts = cell({ processes: [processFact(100)], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(sumEntries(entriesOf(facts)).usedMs).toBe(ACTIVE_MS);
  });
});

describe('broken facts', () => {
  test('more active time than there is time is refused', () => {
    expect(() => attribute(cell({ spans: [span(0, 1000, { 100: 1001 })] }))).toThrow(/active time/);
  });
});
