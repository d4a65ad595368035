// The story of a finding: what was seen, what was not, why no job covers it. Neutral, whoever reads it.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import { REASONS, type Reason } from '../../api/domain/bucket.ts';
import { MAX_CANDIDATES } from '../../api/domain/candidates.ts';
import type { CellFacts } from '../../api/domain/cell.ts';
import { groupFindings, summarise } from '../../api/domain/finding.ts';
import { duration, list } from '../../api/domain/phrases.ts';
import { type StoryFacts, tellStory } from '../../api/domain/story.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { FINDING_REASONS } from '../../api/domain/wording.ts';
import {
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  processFact,
  SESSION_CGROUP,
  span,
} from './domain-facts.ts';

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
      dark: [],
      pollIntervalMs: 5000,
      externalConnections: 0,
      attempts: 0,
      holders: [],
      unseen: { processes: 0, openMs: 0, executedMs: 0 },
      details: [],
      running: false,
      resolved: false,
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

  test('what the process was like is told as far as it could be read', () => {
    const bare = {
      ...foreign,
      executable: null,
      user: null,
      uid: null,
      startedMs: null,
      unreadable: ['environment'],
    };
    const told = tellStory(facts({}, { lineage: [bare] }));
    expect(told.observed).toContain(
      'Process 13 ("x") ran an executable that could not be read. The OS account is unknown.',
    );
    expect(told.observed.join()).not.toContain('It started at');
    expect(told.notObserved).toContain('Not readable: environment.');
    const file = { path: '/tmp/x (deleted)', device: null, inode: '7', deleted: true, fileSystem: null };
    const gone = { ...foreign, user: null, executable: file };
    const removed = tellStory(facts({ processes: new Map([[gone.id, gone]]) })).observed;
    expect(removed).toContain('Process 13 ("x") ran /tmp/x (file ? inode 7). It ran as OS account uid 2001.');
    expect(removed).toContain('The executable had been removed from its folder while it ran.');
    const unnumbered = { ...foreign, executable: { ...file, path: '/tmp/x', inode: null, deleted: false } };
    expect(tellStory(facts({ processes: new Map([[unnumbered.id, unnumbered]]) })).observed).toContain(
      'Process 13 ("x") ran /tmp/x. It ran as OS account alice.',
    );
  });

  test('two signs that disagree are both told', () => {
    const claims = [{ name: 'SLURM_JOB_ID', value: '8120' }];
    const both = { ...foreign, claims };
    const jobs = new Map([j, job('8120')].map((one) => [one.id, one]));
    expect(tellStory(facts({ jobs, processes: new Map([[both.id, both]]) })).observed).toContain(
      'Two signs disagree: environment says 8120, cgroup says 8101.',
    );
  });

  test('what only the driver lists is told in sum', () => {
    const unseen = (processes: number) => ({ processes, openMs: 60_000, executedMs: 5000 });
    const line = (processes: number) =>
      tellStory(facts({}, { unseen: unseen(processes) })).observed.find((one) => one.includes('accounting'));
    expect(line(0)).toBeUndefined();
    expect(line(1)).toBe(
      "The driver's accounting lists 1 process that no reading showed there: the device was open to them " +
        'for 1 min 00 s in sum, and executed for at least 5 s of it as far as the driver sampled.',
    );
    expect(line(3)).toContain('lists 3 processes');
  });

  test('one that nothing stands of any more says why, and asks nobody', () => {
    const base = facts();
    const closed = (reason: 'reverse_tunnel' | 'no_job', lineage = base.lineage) =>
      tellStory({ ...base, lineage, resolved: true, summary: { ...base.summary, reason } });
    expect(closed('reverse_tunnel').observed[0]).toBe(
      'It was seen inside a job. By records that came later it was not inside one.',
    );
    expect(closed('no_job').observed[0]).toContain('By what is known now no time of this source is');
    expect(closed('no_job').observed[1]).toContain('ran /tmp/x');
    expect(closed('no_job', []).observed).toHaveLength(1);
    expect([closed('no_job').candidates, closed('no_job').innocentCauses]).toEqual([[], []]);
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

  test('what was not measured is told with its cause, once for devices that have the same, the longest first', () => {
    const stretch = (fromMs: number, toMs: number, sameAround: boolean) => ({
      ...{ fromMs, toMs, sameAround, reason: 'agent_silent' as const },
    });
    const dark = [stretch(0, 60_000, true), stretch(0, 60_000, true), stretch(100_000, 220_000, false)];
    expect(tellStory(facts({}, { dark })).notObserved.filter((line) => /not measured/i.test(line))).toEqual([
      '4 min 00 s of this time were not measured and are not counted here.',
      'Not measured between 1970-01-01 00:01:40 UTC and 1970-01-01 00:03:40 UTC (agent_silent).',
      'Not measured between 1970-01-01 00:00:00 UTC and 1970-01-01 00:01:00 UTC (agent_silent): ' +
        'the same process executed in the last reading before and in the first one after.',
    ]);
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
    const base = facts();
    const summary = { ...base.summary, provisionalMs: 1000 };
    expect(tellStory({ ...base, summary, sources: [] }).wouldChange[0]).toBe('1 s await a record.');
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
    const scan = tellStory({ ...base, summary, externalConnections: 1, attempts: 192 }).observed.join('\n');
    expect(scan).toContain('had a connection to an external address');
    expect(scan).toContain('tried to reach 192 addresses and ports');
    const one = tellStory({ ...base, summary, attempts: 1 }).observed.join();
    expect(one).toContain('tried to reach 1 address or port.');
  });

  test('an integrity finding tells what its agent said, bounded, and claims no GPU time', () => {
    const base = facts();
    const summary = { ...base.summary, reason: 'process_covered', activeMs: 0, residentMs: 0 } as const;
    const details = Array.from({ length: 14 }, (_, at) => `detail ${at}`);
    const told = tellStory({ ...base, summary, details, running: true });
    expect(told.candidates).toEqual([]);
    const said = told.observed.filter((line) => line.startsWith('The agent of the node says: '));
    expect(said).toHaveLength(10);
    expect(told.observed).toContain('It says 4 more of the same kind.');
    expect(told.observed.join('\n')).not.toContain('GPU time');
    expect(told.observed.at(-1)).toBe('It was still there at the last reading.');
    const changed = tellStory({ ...base, summary: { ...summary, reason: 'tool_changed' }, running: true });
    expect(changed.observed.join('\n')).not.toContain('still there');
    const gone = tellStory({ ...base, summary, details, resolved: true });
    expect(gone.observed[0]).toBe('It was reported of the node. By what is known now nothing reports it.');
  });

  test('holders of a device are named one by one up to a bound, a nameless one by its pid', () => {
    const base = facts();
    const process = { ...foreign, comm: '', executable: null, user: null, uid: null, cgroup: '' };
    const holders = Array.from({ length: 12 }, () => ({ file: '/dev/nvidia3', seenMs: 0, process }));
    const lines = tellStory({ ...base, lineage: [], holders }).observed.filter((line) =>
      line.includes('/dev/nvidia3'),
    );
    expect(lines).toHaveLength(10);
    expect(lines[0]).toBe(
      `Process ${foreign.pid} had /dev/nvidia3 open at 1970-01-01 00:00:00 UTC, though the driver does not list it there: ` +
        'an executable that could not be read, as an unknown OS account.',
    );
    expect(tellStory({ ...base, lineage: [], holders }).observed).toContain('So had 2 more processes.');
    const known = [
      { file: '/dev/nvidia3', seenMs: 0, process: { ...foreign, executable: parent.executable } },
    ];
    expect(tellStory({ ...base, holders: known }).observed.at(-1)).toContain(
      'not list it there: /opt/roll/python, as OS account alice, in slurm:8101.',
    );
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

  test('lists read as people say them', () => {
    expect([list([]), list(['a']), list(['a', 'b']), list(['a', 'b', 'c'])]).toEqual([
      ...['nothing', 'a', 'a and b', 'a, b and c'],
    ]);
  });

  test('every reason of the ledger is a reason of findings', () => {
    const all: readonly Reason[] = REASONS;
    expect(FINDING_REASONS).toEqual(expect.arrayContaining([...all]));
  });

  test.each([
    [0, '0 s'],
    [5000, '5 s'],
    [1500, '1.5 s'],
    [59_999, '59 s'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 05 min'],
  ])('%d ms read as %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});
