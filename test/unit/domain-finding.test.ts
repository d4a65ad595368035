// Findings: one source is one finding; severity and strength; network observations.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts } from '../../api/domain/cell.ts';
import type { ObservedConnection } from '../../api/domain/decode.ts';
import {
  type FindingRow,
  graver,
  groupFindings,
  mergeRows,
  RUNNING_SLACK_MS,
  runningSlackMs,
  severityOf,
  summarise,
} from '../../api/domain/finding.ts';
import { forwardsRemotePort, networkFindings, SCAN_PEERS } from '../../api/domain/network.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import {
  BOOT,
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  NODE,
  pidOf,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from './domain-facts.ts';

const findingsOf = (facts: CellFacts, device = GPU) =>
  groupFindings(facts, createJudge(facts), [{ device, entries: attribute(facts).entries }]);

const session = { cgroup: SESSION_CGROUP, uid: 1007, user: 'mallory' };
const shell = processFact(20, { ...session, path: '/usr/bin/bash' });
const miner = processFact(21, { ...session, path: '/tmp/a', parentPid: 20 });
const again = processFact(22, { ...session, path: '/tmp/a', parentPid: 20 });

describe('sources', () => {
  test('what one shell starts again and again is one finding of that shell', () => {
    const facts = cell({
      processes: [shell, miner, again],
      spans: [span(0, 10_000, { 21: 10_000 }), span(20_000, 30_000, { 22: 10_000 })],
    });
    expect(findingsOf(facts)).toMatchObject([
      { kind: 'compute', root: shell.id, rows: [{ process: miner.id }, { process: again.id }] },
    ]);
  });

  test('the lineage is not followed into what hosts sessions, nor into another account or boundary', () => {
    const parents = [
      processFact(20, { ...session, path: '/usr/sbin/sshd' }),
      processFact(20, { ...session, path: '/usr/bin/bash', uid: 0 }),
      processFact(20, { ...session, path: '/usr/bin/bash', cgroup: slurmCgroup(1) }),
    ];
    for (const parent of parents) {
      const facts = cell({ processes: [parent, miner], spans: [span(0, 1000, { 21: 1000 })] });
      expect(findingsOf(facts)[0]?.root).toBe(miner.id);
    }
  });

  test('without a kernel boundary only shells, launchers and the same program are followed', () => {
    const bare = { cgroup: '0::/', uid: 1007, user: 'mallory' };
    const root = processFact(30, { ...bare, path: '/usr/bin/bash' });
    const worker = processFact(31, { ...bare, path: '/opt/a', parentPid: 30 });
    const child = processFact(32, { ...bare, path: '/opt/a', parentPid: 31 });
    const stranger = processFact(33, { ...bare, path: '/opt/b', parentPid: 31 });
    const facts = cell({
      processes: [root, worker, child, stranger],
      spans: [span(0, 10_000, { 32: 5000, 33: 5000 })],
    });
    expect(new Set(findingsOf(facts).map((finding) => finding.root))).toEqual(
      new Set([root.id, stranger.id]),
    );
  });

  test('of programs that could not be read the name decides which hosts sessions and which starts others', () => {
    const bare = { cgroup: '0::/', uid: 1007, user: 'mallory', executable: null };
    const rootFor = (comm: string) => {
      const parent = processFact(30, { ...bare, comm });
      const child = processFact(31, { ...bare, executable: miner.executable, parentPid: 30 });
      return findingsOf(cell({ processes: [parent, child], spans: [span(0, 1000, { 31: 1000 })] }))[0]?.root;
    };
    expect(['bash', 'sshd', 'other'].map(rootFor)).toEqual([pidOf(30), pidOf(31), pidOf(31)]);
  });

  test('parts and their rows come in one order, what waits apart from what does not', () => {
    const spans = [span(0, HOUR_MS, { 21: 1000, 22: 1000, 20: 0 })];
    const facts = cell({
      ...{ processes: [shell, miner, again], spans },
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS / 2 }],
    });
    const cells = ['GPU-2', 'GPU-1'].map((device) => ({ device, entries: attribute(facts).entries }));
    const grouped = groupFindings(facts, createJudge(facts), cells);
    expect(grouped).toEqual(groupFindings(facts, createJudge(facts), cells.toReversed()));
    for (const { rows } of grouped)
      for (const one of rows) {
        expect(one.provisionalActiveMs).toBe(one.activeMs / 2);
        expect(Math.abs(one.provisionalResidentMs - one.residentMs / 2)).toBeLessThanOrEqual(1);
      }
  });

  test('inside a job the lineage ends below what the job declared', () => {
    const j = job('8101', { declares: { executables: ['/usr/bin/python3'], root: null } });
    const processes = [
      processFact(10, { path: '/usr/bin/bash' }),
      processFact(11, { parentPid: 10 }),
      processFact(12, { path: '/bin/sh', parentPid: 11 }),
      processFact(13, { path: '/tmp/x', parentPid: 12 }),
    ];
    const facts = cell({ processes, jobs: [j], holdings: [holds(j)], spans: [span(0, 1000, { 13: 900 })] });
    expect(findingsOf(facts)[0]?.root).toBe(pidOf(12));
  });

  test('a lineage that ends at the root of its job is followed no further', () => {
    const root = { node: NODE, bootId: BOOT, pid: 20, startTicks: 200 };
    const ended = job('r', { boundaries: [], endMs: 0, declares: { executables: [], root }, uid: 1007 });
    const login = processFact(19, { ...session, path: '/usr/bin/zsh' });
    const start = processFact(20, { ...session, path: '/usr/bin/bash', parentPid: 19 });
    const facts = cell({
      processes: [login, start, miner],
      jobs: [ended],
      spans: [span(0, 1000, { 20: 500, 21: 500 })],
    });
    expect(findingsOf(facts)).toMatchObject([
      { root: start.id, rows: [{ reason: 'after_end' }, { reason: 'after_end' }] },
    ]);
  });

  test('use by processes of which nothing is known is a finding of each', () => {
    const facts = cell({ spans: [span(0, 1000, { 91: 500, 92: 500 })] });
    expect(
      findingsOf(facts)
        .map((one) => one.root)
        .sort(),
    ).toEqual([pidOf(91), pidOf(92)]);
  });

  test('use without a process is a finding of the device', () => {
    const facts = cell({ spans: [span(0, 1000, {}, 500)] });
    const [one] = findingsOf(facts);
    expect(one).toMatchObject({ root: null, rows: [{ reason: 'no_process', activeMs: 500 }] });
    expect(findingsOf(facts, 'GPU-2')[0]?.id).not.toBe(one?.id);
  });

  test('an id is f_ and 16 digits, the same for the same source whatever the reason', () => {
    const free = cell({ processes: [shell, miner], spans: [span(0, 1000, { 21: 1000 })] });
    const claimed = processFact(21, {
      ...session,
      path: '/tmp/a',
      parentPid: 20,
      claims: [{ name: 'SLURM_JOB_ID', value: '99' }],
    });
    const named = cell({ processes: [shell, claimed], spans: [span(0, 1000, { 21: 1000 })] });
    expect(findingsOf(free)[0]?.id).toMatch(/^f_[0-9a-f]{16}$/);
    expect(findingsOf(named)[0]?.rows[0]?.reason).toBe('unknown_job');
    expect(findingsOf(named)[0]?.id).toBe(findingsOf(free)[0]?.id);
  });

  test('a cell without unaccounted time has no finding', () => {
    expect(findingsOf(cell({ spans: [span(0, HOUR_MS, {})] }))).toEqual([]);
  });
});

const row = (change: Partial<FindingRow> = {}): FindingRow => ({
  device: GPU,
  process: pidOf(21),
  job: null,
  reason: 'no_job',
  evidence: null,
  activeMs: 0,
  residentMs: 0,
  provisionalActiveMs: 0,
  provisionalResidentMs: 0,
  fromMs: 0,
  toMs: 1000,
  ...change,
});

describe('severity', () => {
  test('the graver of two, whichever comes first', () => {
    expect([graver('notice', 'warn'), graver('warn', 'notice'), graver('critical', 'critical')]).toEqual([
      ...['warn', 'warn', 'critical'],
    ]);
  });

  test('a finding runs on for as long as its kind is repeated; a moment does not last', () => {
    expect(runningSlackMs({ kind: 'compute', reason: 'no_job' })).toBe(RUNNING_SLACK_MS.usual);
    expect(runningSlackMs({ kind: 'network', reason: 'network_scan' })).toBe(RUNNING_SLACK_MS.network);
    expect(runningSlackMs({ kind: 'integrity', reason: 'preload_set' })).toBe(RUNNING_SLACK_MS.integrity);
    expect(runningSlackMs({ kind: 'integrity', reason: 'tool_changed' })).toBe(RUNNING_SLACK_MS.usual);
  });

  test.each<[string, Partial<FindingRow>]>([
    ['notice', { activeMs: HOUR_MS * 2, provisionalActiveMs: HOUR_MS * 2 }],
    ['notice', { residentMs: HOUR_MS * 9 }],
    ['warn', { activeMs: 1000 }],
    ['critical', { activeMs: HOUR_MS }],
    ['critical', { activeMs: 1000, reason: 'foreign_in_job' }],
    ['notice', { activeMs: 30_000, reason: 'after_end' }],
    ['warn', { activeMs: 30_001, reason: 'after_end' }],
  ])('%s: %o', (expected, change) => {
    expect(severityOf([row(change)], 30_000)).toBe(expected);
  });
});

describe('summary', () => {
  test('adds rows of several hours, and names the reason, process and job with the most active time', () => {
    const rows = mergeRows([
      row({ activeMs: 500, fromMs: 100 }),
      row({ activeMs: 700, toMs: 9000, provisionalActiveMs: 700 }),
      row({ process: pidOf(22), reason: 'after_end', job: 'j_1', activeMs: 300, residentMs: 5000 }),
    ]);
    expect(rows).toHaveLength(2);
    expect(summarise(rows, 0)).toMatchObject({
      reason: 'no_job',
      reasons: ['after_end', 'no_job'],
      process: pidOf(21),
      insideJob: 'j_1',
      activeMs: 1500,
      residentMs: 5000,
      provisionalMs: 700,
      settledActiveMs: 800,
      firstMs: 0,
      lastMs: 9000,
      state: 'settled',
      strength: 'proof',
    });
  });

  test('what awaits a record, or has no process, is a suspicion', () => {
    expect(summarise([row({ activeMs: 5, provisionalActiveMs: 5 })], 0)).toMatchObject({
      state: 'provisional',
      strength: 'suspicion',
    });
    expect(summarise([row({ process: null, reason: 'no_process', activeMs: 5 })], 0)?.strength).toBe(
      'suspicion',
    );
  });

  test('of reasons with as much time the first one tried names it, whatever order they come in', () => {
    const rows = [row({ reason: 'no_job', activeMs: 5 }), row({ reason: 'wrong_user', activeMs: 5 })];
    for (const some of [rows, rows.toReversed()]) expect(summarise(some, 0)?.reason).toBe('wrong_user');
    const more = [...rows, row({ reason: 'unknown_job', activeMs: 6 })];
    expect(summarise(more, 0)).toMatchObject({
      reason: 'unknown_job',
      reasons: ['unknown_job', 'wrong_user', 'no_job'],
    });
  });

  test('no rows are no finding', () => {
    expect(summarise([], 0)).toBeNull();
  });
});

const connection = (change: Partial<ObservedConnection>): ObservedConnection => ({
  process: pidOf(30),
  kind: 'established',
  peerClass: 'external',
  localPort: 40_000,
  firstMs: 1000,
  lastMs: 2000,
  peers: 1,
  personal: null,
  ...change,
});

describe('network', () => {
  const tunnel = (commandLine: string, change: Parameters<typeof processFact>[1] = {}) =>
    processFact(30, { path: '/usr/bin/ssh', commandLine, ...change });
  const trainer = processFact(40);
  const seen = (process: ReturnType<typeof processFact>, ...connections: ObservedConnection[]) => {
    const facts = cell({ processes: [process, trainer], jobs: [job('8101')] });
    const found = networkFindings(facts, createJudge(facts), connections, new Set([trainer.id]));
    return found.map(({ reason, job: of }) => [reason, of]);
  };

  test.each([
    ['ssh -N -R 2222:localhost:22 u@h', true],
    ['ssh -fN -R9000:localhost:22 u@h', true],
    ['x -NfR 0.0.0.0:80:localhost:80 h', true],
    ['ssh -o RemoteForward=1:h:2 u@h', true],
    ['ssh -oRemoteForward=1:h:2 u@h', true],
    ['ssh -L 6006:localhost:6006 u@h', false],
    ['ls -R /tmp', false],
    ['ssh u@h', false],
    ['', false],
  ])('%j asks for a remote forward: %s', (commandLine, expected) => {
    expect(forwardsRemotePort({ commandLine })).toBe(expected);
  });

  test('a reverse tunnel is an external connection of such a process inside a job', () => {
    const line = 'ssh -N -R 2222:localhost:22 u@h';
    expect(seen(tunnel(line), connection({}))).toEqual([['reverse_tunnel', 'j_8101']]);
    expect(seen(tunnel(line), connection({ peerClass: 'internal' }))).toEqual([]);
    expect(seen(tunnel(line, { cgroup: SESSION_CGROUP }), connection({}))).toEqual([]);
    expect(seen(tunnel(line, { cgroup: slurmCgroup(9) }), connection({}))).toEqual([
      ['reverse_tunnel', null],
    ]);
  });

  test('a scan is attempts to many peers, added up', () => {
    const attempts = (peers: number) => connection({ kind: 'attempt', peerClass: 'internal', peers });
    expect(seen(tunnel(''), attempts(SCAN_PEERS - 1))).toEqual([]);
    expect(seen(tunnel(''), attempts(SCAN_PEERS - 1), attempts(1))).toEqual([['network_scan', 'j_8101']]);
    expect(seen(tunnel(''), connection({ peers: 500, peerClass: 'internal' }))).toEqual([]);
  });

  test('an option without what it forwards asks for nothing', () => {
    expect(forwardsRemotePort({ commandLine: 'ssh -N -R' })).toBe(false);
    expect(forwardsRemotePort({ commandLine: null })).toBe(false);
  });

  test('several come in one order, whatever order their processes come in', () => {
    const line = 'ssh -N -R 2222:localhost:22 u@h';
    const processes = [31, 32, 33].map((pid) =>
      processFact(pid, { path: '/usr/bin/ssh', commandLine: line }),
    );
    const facts = cell({ processes, jobs: [job('8101')] });
    const ids = (of: typeof processes) =>
      networkFindings(
        facts,
        createJudge(facts),
        of.map(({ id }) => connection({ process: id })),
        new Set(),
      ).map(({ id }) => id);
    expect(ids(processes)).toEqual(ids(processes.toReversed()));
    expect(new Set(ids(processes)).size).toBe(3);
  });

  test('connections of a process that nothing is known of say nothing', () => {
    const facts = cell({});
    expect(networkFindings(facts, createJudge(facts), [connection({})], new Set())).toEqual([]);
  });

  describe('a relay', () => {
    const MINUTE = 60_000;
    const out = (change: Partial<ObservedConnection> = {}) =>
      connection({ firstMs: MINUTE, lastMs: 9 * MINUTE, localPort: 40_000, ...change });
    const inward = (change: Partial<ObservedConnection> = {}) =>
      connection({
        firstMs: 3 * MINUTE,
        lastMs: 3 * MINUTE,
        localPort: 40_001,
        peerClass: 'internal',
        ...change,
      });
    const renamed = tunnel('python train.py', { path: '/tmp/torchrun' });

    test('is told by its sockets, whatever it is called', () => {
      expect(seen(renamed, out(), inward())).toEqual([['relayed_connection', 'j_8101']]);
      expect(seen(renamed, out(), inward({ peerClass: 'loopback' }))).toHaveLength(1);
      expect(seen(renamed, out(), out({ lastMs: 20 * MINUTE }), inward())).toHaveLength(1);
      expect(seen(tunnel('ssh -N -R 2222:localhost:22 u@h'), out(), inward())).toEqual([
        ['reverse_tunnel', 'j_8101'],
      ]);
    });

    test.each([
      ['only goes outside', [out()]],
      ['only stays inside', [inward()]],
      ['fetched something in a moment', [out({ lastMs: MINUTE + 5000 }), inward()]],
      ['was inside before it went outside', [out(), inward({ firstMs: 0 })]],
      [
        'is reached from inside',
        [out(), inward(), inward({ kind: 'listening', localPort: 40_001, peers: 0 })],
      ],
      ['loads data from many places', [out({ localPort: 0, peers: 30 }), inward()]],
      ['serves many', [out(), inward({ localPort: 0, peers: 30 })]],
    ])('is not what %s', (_what, connections) => {
      expect(seen(renamed, ...connections)).toEqual([]);
    });

    test('is not what computes for the job, nor another process of that program', () => {
      expect(seen(tunnel('', { path: '/usr/bin/python3' }), out(), inward())).toEqual([]);
      const unread = new Set([trainer.id, pidOf(99)]);
      const facts = cell({ processes: [renamed, { ...trainer, executable: null }], jobs: [job('8101')] });
      expect(networkFindings(facts, createJudge(facts), [out(), inward()], unread)).toHaveLength(1);
      const own = { process: trainer.id };
      expect(seen(processFact(30), out(own), inward(own))).toEqual([]);
    });
  });
});
