// Every signal: what shows it, and what looks nearly so and does not. Scores: what is structural outweighs every label.
import { describe, expect, test } from 'vitest';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import type { ObservedConnection } from '../../api/domain/decode.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { SIGNALS, scoreOf, signalRule, signalsOf } from '../../api/domain/signals/registry.ts';
import type { LoadStretch, SignalFacts } from '../../api/domain/signals/signal.ts';
import { HOUR_MS, job, MINUTE_MS, pidOf, processFact } from './domain-facts.ts';

const SOURCE = 20;
const program = (change: Parameters<typeof processFact>[1] = {}): ObservedProcess =>
  processFact(SOURCE, { path: '/scratch/alice/app', commandLine: './app', ...change });

const connection = (change: Partial<ObservedConnection> = {}): ObservedConnection => ({
  ...{ process: pidOf(SOURCE), kind: 'established', peerClass: 'external', localPort: 40_000 },
  ...{ firstMs: 0, lastMs: HOUR_MS, peers: 1, personal: null },
  ...change,
});

function facts(change: Partial<SignalFacts> & { process?: ObservedProcess } = {}): SignalFacts {
  const { process = program(), ...rest } = change;
  return {
    ...{ kind: 'compute', reasons: ['no_job'], activeMs: HOUR_MS, provisionalActiveMs: 0 },
    ...{ seen: { fromMs: 0, toMs: HOUR_MS }, hour: { fromMs: 0, toMs: HOUR_MS } },
    own: [process],
    lineage: [process],
    family: { processes: [process], connections: [] },
    beside: { processes: [], connections: [] },
    ...{ load: [], memory: [], integrity: [], clockSteps: [], jobs: [], releases: [], declared: [] },
    policy: DEFAULT_POLICY,
    ...rest,
  };
}
const strength = (id: string, of: SignalFacts): number => signalRule(id)?.test(of)?.strength ?? 0;
const detail = (id: string, of: SignalFacts): string => signalRule(id)?.test(of)?.detail ?? '';

test('every rule has an id of its own, a source, a weight, and names no technique twice', () => {
  expect(new Set(SIGNALS.map(({ id }) => id)).size).toBe(SIGNALS.length);
  for (const { id, title, source, weight, attack } of SIGNALS) {
    expect([id, /^[a-z_]+$/.test(id), title.length > 10, source.length > 10]).toEqual([id, true, true, true]);
    expect(weight).toBeGreaterThan(0);
    const ids = [...attack.before, ...attack.after];
    expect(ids.every((technique) => /^T\d{4}(?:\.\d{3})?$/.test(technique))).toBe(true);
    expect(new Set(attack.before).size).toBe(attack.before.length);
  }
  expect(signalRule('nothing')).toBeNull();
});

describe('undeclared', () => {
  test.each([
    [{}, 100],
    [{ reasons: ['after_end', 'foreign_in_job'] }, 100],
    [{ provisionalActiveMs: HOUR_MS }, 30],
    [{ reasons: ['after_end'] }, 40],
    [{ reasons: ['no_process', 'after_end'] }, 60],
    [{ activeMs: 0 }, 0],
    [{ kind: 'network' as const }, 0],
  ])('%j: %i', (change, wanted) => {
    expect(strength('undeclared', facts(change))).toBe(wanted);
  });
});

describe('a program of its own', () => {
  const trainer = processFact(5, { path: '/opt/app/train' });
  test.each([
    ['that nobody runs', {}, 100],
    ['an interpreter', { process: program({ path: '/home/a/venv/bin/python3.11' }) }, 0],
    ['a launcher', { process: program({ path: '/usr/bin/bash' }) }, 0],
    ['not readable', { process: program({ executable: null }) }, 0],
    ['that a declared process is', { process: program({ path: '/opt/app/train' }), declared: [trainer] }, 0],
    ['beside an unreadable one', { declared: [processFact(5, { executable: null })] }, 100],
    [
      'that a job declares',
      { jobs: [job('1', { declares: { executables: ['/scratch/**'], root: null } })] },
      0,
    ],
  ])('%s', (_, change, wanted) => {
    expect(strength('own_executable', facts(change))).toBe(wanted);
  });
});

describe('on the network', () => {
  const helper = processFact(30, { path: '/usr/bin/helper', parentPid: SOURCE });
  const family = (connections: ObservedConnection[], processes = [program(), helper]) => ({
    family: { processes, connections },
  });
  const ofHelper = { process: helper.id };

  test("a way to the outside: its own, a relative's, or one that may be declared", () => {
    expect(strength('external_peer', facts(family([connection()])))).toBe(100);
    expect(detail('external_peer', facts(family([connection(ofHelper)])))).toMatch(/^helper \(30\) held/);
    expect(strength('external_peer', facts(family([connection(ofHelper)])))).toBe(60);
    const peers = [job('1', { declares: { executables: [], root: null, peers: ['hub:443'] } })];
    expect(strength('external_peer', facts({ ...family([connection()]), jobs: peers }))).toBe(40);
    expect(strength('external_peer', facts({ ...family([connection()]), jobs: [job('1')] }))).toBe(100);
    expect(detail('external_peer', facts(family([connection()], [])))).toMatch(/^It held/);
    const unreadable = [{ ...program(), executable: null, comm: 'app' }];
    expect(detail('external_peer', facts(family([connection()], unreadable)))).toMatch(/^app \(20\) held/);
    for (const other of [{ kind: 'attempt' as const }, { peerClass: 'internal' as const }])
      expect(strength('external_peer', facts(family([connection(other)])))).toBe(0);
  });

  test('a remote forward in any spelling, below or beside the source', () => {
    const ssh = processFact(30, { path: '/opt/x/notssh', commandLine: 'x -N -R9000:localhost:22 h' });
    const out = { processes: [ssh], connections: [connection(ofHelper)] };
    expect(strength('reverse_tunnel', facts({ family: out }))).toBe(100);
    expect(strength('reverse_tunnel', facts({ beside: out }))).toBe(70);
    expect(strength('reverse_tunnel', facts({ family: { ...out, connections: [] } }))).toBe(0);
    expect(strength('reverse_tunnel', facts(family([connection(ofHelper)])))).toBe(0);
  });

  test('the shape of one: out for long, in meanwhile; not of what computes itself', () => {
    const inward = { peerClass: 'internal', firstMs: 90_000, lastMs: 100_000, localPort: 40_001 } as const;
    const both = [connection(ofHelper), connection({ ...ofHelper, ...inward })];
    expect(strength('relay_shape', facts(family(both)))).toBe(100);
    expect(strength('relay_shape', facts({ beside: { processes: [helper], connections: both } }))).toBe(70);
    expect(strength('relay_shape', facts(family([connection(), connection(inward)])))).toBe(0);
  });

  test("a scan, by many addresses; few, and a node's own, are none", () => {
    const tried = (peers: number, change = {}) =>
      connection({ kind: 'attempt', peerClass: 'internal', peers, ...change });
    expect(strength('network_scan', facts(family([tried(12), tried(12)])))).toBe(100);
    expect(
      strength(
        'network_scan',
        facts({ beside: { processes: [helper], connections: [tried(40, ofHelper)] } }),
      ),
    ).toBe(50);
    expect(strength('network_scan', facts(family([tried(12)])))).toBe(0);
    expect(strength('network_scan', facts(family([tried(400, { peerClass: 'loopback' })])))).toBe(0);
  });

  test('a port that miners use is a label, where it listens itself', () => {
    const port = { kind: 'listening', peerClass: 'loopback', localPort: 4067 } as const;
    expect(strength('miner_port', facts(family([connection(port)])))).toBe(100);
    expect(strength('miner_port', facts(family([connection({ ...port, ...ofHelper })])))).toBe(0);
    expect(strength('miner_port', facts(family([connection({ ...port, localPort: 8080 })])))).toBe(0);
  });
});

describe('where the executable is', () => {
  const at = (path: string, fileSystem: string | null = null, deleted = false) =>
    facts({
      process: program({ executable: { path, device: '0:1', inode: '9', deleted, fileSystem } }),
    });
  test.each([
    ['/memfd:x (deleted)', 'memfd', true, 'memory_executable'],
    ['/memfd:x (deleted)', null, true, 'memory_executable'],
    ['/dev/shm/x', 'tmpfs', false, 'temporary_path'],
    ['/scratch/x', 'tmpfs', false, 'temporary_path'],
    ['/var/tmp/x', 'ext4', false, 'temporary_path'],
    ['/scratch/x (deleted)', 'ext4', true, 'deleted_executable'],
    ['/scratch/x', 'ext4', false, null],
  ])('%s on %s', (path, fileSystem, deleted, wanted) => {
    const place = ['memory_executable', 'temporary_path', 'deleted_executable'];
    const found = signalsOf(at(path, fileSystem, deleted)).map(({ id }) => id);
    expect(found.filter((id) => place.includes(id))).toEqual(wanted === null ? [] : [wanted]);
  });
  test('of an unreadable one nothing is said', () => {
    for (const id of ['memory_executable', 'temporary_path', 'deleted_executable', 'masquerade', 'job_copy'])
      expect(strength(id, facts({ process: program({ executable: null }) }))).toBe(0);
  });
});

describe('under another name', () => {
  const declared = [processFact(5, { path: '/opt/app/solver' }), processFact(6)];
  test.each([
    [{ comm: 'kworker/0:1' }, 100],
    [{ comm: 'app', commandLine: '[kworker/0:1-events]' }, 100],
    [{ comm: 'nvidia-persiste' }, 100],
    [{ comm: 'solver' }, 100],
    [{ comm: 'app', commandLine: '/usr/sbin/sshd -D' }, 100],
    [{ comm: 'python3' }, 0],
    [{ comm: 'ray::Worker' }, 0],
    [{ comm: 'app', commandLine: null }, 0],
    [{ comm: 'solver', path: '/opt/app/solver' }, 0],
  ])('%j: %i', (change, wanted) => {
    expect(strength('masquerade', facts({ process: program(change), declared }))).toBe(wanted);
  });

  test("a copy of a job's program: its name, or its arguments, under another file", () => {
    const known = [
      processFact(5, { path: '/opt/app/solver', argumentsDigest: 'aa' }),
      processFact(6, { executable: null }),
    ];
    const copy = (change: Parameters<typeof program>[0], jobs = [job('1')]) =>
      strength('job_copy', facts({ process: program(change), declared: known, jobs }));
    expect(copy({ path: '/scratch/alice/solver' })).toBe(100);
    expect(copy({ argumentsDigest: 'aa' })).toBe(100);
    expect(copy({ path: '/opt/app/solver', argumentsDigest: 'aa' })).toBe(0);
    expect(copy({})).toBe(0);
    expect(copy({ path: '/scratch/python3' })).toBe(0);
    const declares = [job('1', { declares: { executables: ['/opt/bin/app'], root: null } })];
    expect(copy({}, declares)).toBe(100);
    expect(copy({ path: '/opt/bin/app' }, declares)).toBe(0);
  });
});

describe('how the device went', () => {
  const stretches = (
    percents: readonly (number | null)[],
    change: Partial<LoadStretch> = {},
  ): LoadStretch[] =>
    percents.map((percent, at) => ({
      ...{ fromMs: at * MINUTE_MS, toMs: (at + 1) * MINUTE_MS, own: true, conflictMs: 0 },
      ownMs: percent === null ? null : percent * 600,
      ...change,
    }));
  const steady = new Array<number>(20).fill(97);
  const load = (percents: readonly (number | null)[]) => facts({ load: [stretches(percents)] });

  test('steady for long, whatever it began and ended with', () => {
    expect(detail('steady_load', load([10, ...steady, 20]))).toBe(
      '97 % of a device for 20 min, give or take 0.0 points.',
    );
    expect(strength('steady_load', load(steady.map((one, at) => one - (at % 2) * 10)))).toBe(0);
    expect(strength('steady_load', load(steady.map(() => 30)))).toBe(0);
    expect(strength('steady_load', load(steady.slice(0, 10)))).toBe(0);
    expect(strength('steady_load', load(steady.map(() => null)))).toBe(0);
  });

  test('memory that stays, while it executes', () => {
    const held = (...figures: number[]) =>
      facts({
        memory: [[], figures.map((bytes) => ({ bytes: bytes * 1024 ** 3, lengthMs: 5 * MINUTE_MS }))],
      });
    expect(detail('constant_memory', held(5, 5, 5))).toBe('5120 MiB for 15 min.');
    for (const other of [held(5, 5, 1), held(5, 5), held(0, 0, 0), { ...held(5, 5, 5), activeMs: 0 }])
      expect(strength('constant_memory', other)).toBe(0);
  });

  test('power without use, for a minute or more, while it was there', () => {
    const drew = (conflictMs: number, own = true) =>
      facts({ load: [stretches([0, 0], { conflictMs, own })] });
    expect(strength('power_conflict', drew(30_000))).toBe(100);
    expect(strength('power_conflict', drew(29_000))).toBe(0);
    expect(strength('power_conflict', drew(30_000, false))).toBe(0);
  });

  test('silence with the same process before and after; not where it came or went', () => {
    const hole = (before: boolean, after: boolean) => {
      const [first, second, third] = stretches([1, 1, 1]);
      if (!first || !second || !third) throw new Error('three stretches');
      return facts({
        load: [
          [
            { ...first, own: before },
            { ...third, own: after },
          ],
        ],
      });
    };
    expect(detail('silence_in_act', hole(true, true))).toBe('60 s without a reading.');
    expect(strength('silence_in_act', hole(false, true))).toBe(0);
    expect(strength('silence_in_act', hole(true, false))).toBe(0);
    const late = stretches([1, 1]).slice(1);
    const old = program({ firstSeenMs: -1 });
    expect(strength('silence_in_act', facts({ process: old, load: [late] }))).toBe(100);
    expect(strength('silence_in_act', facts({ load: [late] }))).toBe(0);
  });
});

test('what was done to the node in its time', () => {
  const step = (atMs: number, stepMs: number) => facts({ clockSteps: [{ atMs, stepMs }] });
  expect(detail('clock_step', step(MINUTE_MS, 7_200_000))).toBe("The node's clock was set 7200 s ahead.");
  expect(detail('clock_step', step(MINUTE_MS, -60_000))).toBe("The node's clock was set 60 s back.");
  expect(strength('clock_step', step(MINUTE_MS, 900))).toBe(0);
  expect(strength('clock_step', step(-HOUR_MS, 7_200_000))).toBe(0);
  expect(strength('clock_step', step(2 * HOUR_MS, 7_200_000))).toBe(0);

  const integrity = (kind: 'process_covered' | 'tool_changed' | 'tool_exposed', process = program().id) =>
    facts({ integrity: [{ kind, device: null, process, detail: '', firstMs: 0, lastMs: 0 }] });
  expect(strength('hidden_process', integrity('process_covered'))).toBe(100);
  expect(strength('hidden_process', integrity('process_covered', pidOf(99)))).toBe(0);
  expect(strength('hidden_process', integrity('tool_changed'))).toBe(0);
  expect(strength('changed_tools', integrity('tool_changed'))).toBe(100);
  expect(strength('changed_tools', integrity('tool_exposed'))).toBe(0);

  const began = (startedMs: number | null, releases: number[]) =>
    facts({ process: program({ startedMs }), releases });
  expect(strength('after_job_end', began(100_000, [40_000]))).toBe(100);
  expect(strength('after_job_end', began(100_000, [160_000, -HOUR_MS]))).toBe(0);
  expect(strength('after_job_end', began(null, [40_000]))).toBe(0);
});

describe('labels', () => {
  test.each([
    ['miner_name', { path: '/home/x/T-Rex' }, 100],
    ['miner_name', { commandLine: '/x/lolMiner --go' }, 100],
    ['miner_name', { commandLine: null }, 0],
    ['miner_arguments', { commandLine: './app --algo kawpow --server h:3333' }, 100],
    ['miner_arguments', { commandLine: './app --algo=ETHASH --pool=h' }, 100],
    ['miner_arguments', { commandLine: './app --algo adam --user me' }, 0],
    ['miner_arguments', { commandLine: './app kawpow' }, 0],
    ['mining_protocol', { commandLine: './app stratum+ssl://h:443' }, 100],
    ['mining_protocol', { commandLine: './app eth_submitLogin' }, 100],
    ['mining_protocol', { commandLine: null }, 0],
  ])('%s of %j: %i', (id, change, wanted) => {
    expect(strength(id, facts({ process: program(change) }))).toBe(wanted);
  });
});

describe('the score', () => {
  const out = (process: ObservedProcess) => ({
    process,
    family: { processes: [process], connections: [connection()] },
  });
  const famous = program({
    path: '/home/x/t-rex',
    commandLine: 't-rex -a kawpow -o stratum+tcp://h:4444 -u w',
  });
  const renamed = program({ path: '/home/x/updater', commandLine: 'updater -c c.json' });

  test('a renamed miner over TLS ranks with a famous one, and above it with one thing more', () => {
    const known = scoreOf(signalsOf(facts(out(famous))));
    const unknown = scoreOf(signalsOf(facts(out(renamed))));
    expect(known - unknown).toBeGreaterThan(0);
    expect(known - unknown).toBeLessThanOrEqual(3);
    const shm = program({ path: '/dev/shm/updater', commandLine: 'updater' });
    expect(scoreOf(signalsOf(facts(out(shm))))).toBeGreaterThan(known);
  });

  test('a famous name that a job declared, or that computes nothing, ranks below every undeclared program', () => {
    const idle = facts({ process: famous, activeMs: 0 });
    expect(scoreOf(signalsOf(idle))).toBeLessThan(scoreOf(signalsOf(facts({ process: renamed }))));
  });

  test('all labels together weigh less than any one thing of weight', () => {
    const labels = ['miner_name', 'miner_arguments', 'mining_protocol', 'miner_port'];
    const sum = labels.reduce((total, id) => total + (signalRule(id)?.weight ?? 0), 0);
    expect(sum).toBeLessThan(signalRule('own_executable')?.weight ?? 0);
    expect(sum).toBeLessThan(signalRule('temporary_path')?.weight ?? 0);
  });

  test('each signal counts once, at its strongest; unknown ones not at all; 100 is the most', () => {
    const one = { id: 'own_executable', strength: 50 };
    expect(scoreOf([one, { ...one, strength: 100 }, { id: 'retired', strength: 100 }])).toBe(10);
    expect(scoreOf(SIGNALS.map(({ id }) => ({ id, strength: 100 })))).toBe(100);
    expect(scoreOf([])).toBe(0);
  });
});
