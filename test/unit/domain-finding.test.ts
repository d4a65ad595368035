// Findings: one source is one finding; severity and strength; network observations; the story that is told.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import { REASONS, type Reason } from '../../api/domain/bucket.ts';
import type { CellFacts } from '../../api/domain/cell.ts';
import type { ObservedConnection } from '../../api/domain/decode.ts';
import {
  type FindingRow,
  groupFindings,
  mergeRows,
  severityOf,
  summarise,
} from '../../api/domain/finding.ts';
import { forwardsRemotePort, networkFindings, SCAN_PEERS } from '../../api/domain/network.ts';
import { duration, MAX_CANDIDATES, type StoryFacts, tellStory } from '../../api/domain/story.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { FINDING_REASONS } from '../../api/domain/wording.ts';
import {
  cell,
  GPU,
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
  const seen = (process: ReturnType<typeof processFact>, ...connections: ObservedConnection[]) => {
    const facts = cell({ processes: [process], jobs: [job('8101')] });
    return networkFindings(facts, createJudge(facts), connections).map(({ reason, job: of }) => [reason, of]);
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

  test('connections of a process that nothing is known of say nothing', () => {
    const facts = cell({});
    expect(networkFindings(facts, createJudge(facts), [connection({})])).toEqual([]);
  });
});

describe('story', () => {
  const j = job('8101', { declares: { executables: ['/opt/roll/**'], root: null } });
  const foreign = processFact(13, { path: '/tmp/x', parentPid: 11 });
  const parent = processFact(11, { path: '/opt/roll/python' });

  function facts(change: Partial<CellFacts> = {}, more: Partial<StoryFacts> = {}): StoryFacts {
    const node = {
      ...cell({
        processes: [foreign, parent],
        jobs: [j],
        holdings: [holds(j)],
        spans: [span(0, 10 * MINUTE_MS, { 13: 5 * MINUTE_MS })],
      }),
      ...change,
    };
    const judge = createJudge(node);
    const rows =
      groupFindings(node, judge, [{ device: GPU, entries: attribute(node).entries }])[0]?.rows ?? [];
    const summary = summarise(rows, 0);
    if (summary === null) throw new Error('these facts make no finding');
    const first = summary.process === null ? undefined : node.processes.get(summary.process);
    return {
      summary,
      node: node.node,
      devices: ['GPU 0'],
      lineage: first === undefined ? [] : [first, parent],
      ties: first === undefined ? null : judge.tiesOf(first.id),
      jobs: [...node.jobs.values()],
      holdings: node.holdings,
      deviceUuids: [GPU],
      sources: node.sources,
      policy: node.policy,
      unobservedMs: 0,
      pollIntervalMs: 5000,
      externalConnections: 0,
      running: false,
      ...more,
    };
  }

  test('inside a job: what ran, where, as whom, and what the job had declared', () => {
    const story = tellStory(facts());
    expect(story.observed.join('\n')).toContain(
      '5 min 00 s of GPU time on GPU 0 of n1 executed with no matching declaration',
    );
    expect(story.observed.join('\n')).toContain('ran /tmp/x');
    expect(story.observed).toContain('The kernel holds it in slurm:8101.');
    expect(story.candidates).toEqual([
      {
        job: {
          id: 'j_8101',
          source: 'slurm',
          externalId: '8101',
          name: 'job 8101',
          account: 'research',
          user: 'alice',
        },
        why: 'The process is inside its kernel boundary, but /tmp/x is none of what the job declared: /opt/roll/**.',
      },
    ]);
  });

  test('nobody is accused: accounts run, people are not said to do anything', () => {
    const text = JSON.stringify(tellStory(facts()));
    expect(text).toContain('ran as OS account alice');
    expect(text).not.toMatch(/\b(?:min(?:er|ing)|stole|theft|abuse|illegal|attack|alice (?:did|ran))\b/i);
  });

  test('without a process it says so, and no job is blamed', () => {
    const told = tellStory(facts({ spans: [span(0, 1000, {}, 900)] }));
    expect(told.notObserved).toContain('No process showed on the device while it executed.');
    expect(told.candidates[0]?.why).toBe(
      'No process shows on the device, so nothing ties the use to this job.',
    );
  });

  const why = (of: Partial<typeof j>, change: Partial<CellFacts> = {}) => {
    const other = { ...j, ...of };
    return tellStory(facts({ jobs: new Map([[other.id, other]]), holdings: [holds(other)], ...change }))
      .candidates[0]?.why;
  };

  test.each<[string, string | undefined]>([
    ['ran as alice while the job states bob', why({ uid: 1, user: 'bob' })],
    ['the job ended at 1970-01-01 00:00:00 UTC, before the use', why({ endMs: 0 })],
    ['It started at 1970-01-01 01:00:00 UTC, after the use', why({ startMs: HOUR_MS })],
    [
      'a self-declaration does not reach back',
      why({ startMs: 0, selfDeclared: true, firstRecordedAtMs: HOUR_MS }),
    ],
    ['did not hold the device then', why({}, { holdings: [] })],
    ['neither kernel boundary nor lineage ties this process to it', why({ boundaries: ['slurm:1'] })],
    ['and it held other devices', why({ boundaries: ['slurm:1'] }, { holdings: [] })],
  ])('a candidate says %j', (words, said) => {
    expect(said).toContain(words);
  });

  test('a claim says that anybody can write it', () => {
    const spoof = processFact(13, {
      path: '/tmp/x',
      cgroup: SESSION_CGROUP,
      claims: [{ name: 'SLURM_JOB_ID', value: '8101' }],
    });
    const told = tellStory(facts({ processes: new Map([[spoof.id, spoof]]) }));
    expect(told.candidates[0]?.why).toContain('which any process can set');
  });

  test('what awaits a record names the source and how far it is', () => {
    const told = tellStory(
      facts({ jobs: new Map(), sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: 0 }] }),
    );
    expect(told.wouldChange[0]).toBe(
      '5 min 00 s await a record from slurm (main), complete to 1970-01-01 00:00:00 UTC.',
    );
  });

  test('candidates are bounded, those that something ties to the process first', () => {
    const many = Array.from({ length: 30 }, (_, at) => job(`${at}`, { boundaries: [] }));
    const told = tellStory(facts({}, { jobs: [...many, j] }));
    expect(told.candidates).toHaveLength(MAX_CANDIDATES);
    expect(told.candidates[0]?.job.id).toBe('j_8101');
  });

  test('a network finding tells of the network only', () => {
    const base = facts();
    const summary = { ...base.summary, reason: 'reverse_tunnel', activeMs: 0, residentMs: 0 } as const;
    const told = tellStory({ ...base, summary, externalConnections: 2 });
    expect(told.candidates).toEqual([]);
    expect(told.observed.join('\n')).toContain('2 connections to external addresses');
    expect(told.observed.join('\n')).not.toContain('GPU time');
  });

  test.each<[string]>(FINDING_REASONS.map((reason) => [reason]))(
    '%s has a sentence, a cause and a change',
    (name) => {
      const reason = FINDING_REASONS.find((other) => other === name) ?? 'no_job';
      const base = facts();
      const told = tellStory({ ...base, summary: { ...base.summary, reason } });
      expect(told.innocentCauses.length).toBeGreaterThan(0);
      expect(told.wouldChange.length).toBeGreaterThan(0);
    },
  );

  test('every reason of the ledger is a reason of findings', () => {
    const all: readonly Reason[] = REASONS;
    expect(FINDING_REASONS).toEqual(expect.arrayContaining([...all]));
  });

  test.each([
    [0, '0.0 s'],
    [1500, '1.5 s'],
    [59_999, '59 s'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 05 min'],
  ])('%d ms read as %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});
