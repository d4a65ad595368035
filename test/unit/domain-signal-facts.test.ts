// What the rules get to look at: relatives, what stands beside, loads, jobs near by.
import { describe, expect, test } from 'vitest';
import type { Entry, ObservedProcess, ObservedSpan } from '../../api/domain/cell.ts';
import type { DecodedHour, ObservedConnection } from '../../api/domain/decode.ts';
import type { FindingPart } from '../../api/domain/finding.ts';
import { type SignalHour, signalsOfHour } from '../../api/domain/signals/facts.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import {
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  NODE,
  pidOf,
  processFact,
  SESSION_CGROUP,
  span,
} from './domain-facts.ts';

const OWN = 20;
const ID = 'f_1';
const own = processFact(OWN, {
  path: '/home/m/app',
  parentPid: 10,
  cgroup: SESSION_CGROUP,
  startedMs: 61_000,
});
const shell = processFact(10, { path: '/usr/bin/bash', cgroup: SESSION_CGROUP });

function hourOf(
  change: {
    processes?: readonly ObservedProcess[];
    connections?: readonly ObservedConnection[];
    spans?: readonly ObservedSpan[];
    row?: Partial<FindingPart['rows'][number]>;
    root?: number | null;
  } & Partial<Pick<SignalHour, 'holdings' | 'cells' | 'observations' | 'findings'>> & {
      decoded?: Partial<DecodedHour>;
      jobs?: Parameters<typeof cell>[0]['jobs'];
    } = {},
): SignalHour {
  const {
    processes = [own, shell],
    connections = [],
    spans = [],
    row = {},
    root = 10,
    jobs = [],
    decoded,
    ...rest
  } = change;
  const node = { ...cell({ processes, jobs }), node: NODE };
  return {
    node,
    judge: createJudge(node),
    decoded: {
      spansByDevice: new Map([[GPU, spans]]),
      ...{ gapsByDevice: new Map(), nodeGaps: [], processes: node.processes, connections },
      ...{ dials: [], holders: [], integrity: [], accounted: [], grants: [], memory: () => [] },
      clockSteps: [],
      paces: [],
      ...decoded,
    },
    hour: { fromMs: 0, toMs: HOUR_MS },
    ...{ holdings: [], cells: [], observations: [] },
    findings: [
      {
        ...{ id: ID, kind: 'compute', cluster: 'c1', node: NODE, root: root === null ? null : pidOf(root) },
        rows: [
          {
            ...{ device: GPU, process: own.id, job: null, reason: 'no_job', evidence: null },
            ...{ activeMs: 1000, residentMs: 0, provisionalActiveMs: 0, provisionalResidentMs: 0 },
            ...{ fromMs: 0, toMs: HOUR_MS },
            ...row,
          },
        ],
      },
    ],
    ...rest,
  };
}
const seen = (hour: SignalHour, id = ID): Record<string, number> =>
  Object.fromEntries((signalsOfHour(hour).get(id) ?? []).map((one) => [one.id, one.strength]));

const out = (pid: number, change: Partial<ObservedConnection> = {}): ObservedConnection => ({
  ...{ process: pidOf(pid), kind: 'established', peerClass: 'external', localPort: 40_000 },
  ...{ firstMs: 0, lastMs: HOUR_MS, peers: 1, personal: null },
  ...change,
});

test('an hour without findings has no signals, and a finding without any has no row', () => {
  expect(signalsOfHour(hourOf({ findings: [] })).size).toBe(0);
  const declared = { activeMs: 0, residentMs: 1000 };
  expect(signalsOfHour(hourOf({ row: { ...declared, process: null }, root: null })).size).toBe(0);
});

describe('whose connections count', () => {
  const ssh = (pid: number, change: Parameters<typeof processFact>[1]) =>
    processFact(pid, {
      path: '/usr/bin/ssh',
      commandLine: 'ssh -R 1:localhost:2 h',
      cgroup: SESSION_CGROUP,
      ...change,
    });
  test.each([
    ['of what stands below the same source', ssh(30, { parentPid: 10 }), 100],
    ['of what shares its session', ssh(30, {}), 70],
    ['of another account', ssh(30, { uid: 3 }), undefined],
    [
      'of another session',
      ssh(30, { cgroup: '0::/user.slice/user-1007.slice/session-9.scope\n' }),
      undefined,
    ],
  ])('%s', (_, other, wanted) => {
    const hour = hourOf({ processes: [own, shell, other], connections: [out(30)] });
    expect(seen(hour)['reverse_tunnel']).toBe(wanted);
  });
  test('not of what computes beside it', () => {
    const other = ssh(30, {});
    const spans = [span(0, MINUTE_MS, { 30: 1000 })];
    expect(
      seen(hourOf({ processes: [own, shell, other], connections: [out(30)], spans }))['reverse_tunnel'],
    ).toBeUndefined();
  });
  test('in a crowd it is not lost', () => {
    const crowd = Array.from({ length: 300 }, (_, at) => processFact(1000 + at, { parentPid: OWN }));
    const hour = hourOf({ processes: [own, shell, ...crowd], connections: [out(1299)] });
    expect(seen(hour)['external_peer']).toBe(60);
  });
});

test('loads and memory are of its devices and processes; what a device does not tell is not zero', () => {
  const minutes = (active: number | null) =>
    Array.from({ length: 30 }, (_, at) => span(at * MINUTE_MS, (at + 1) * MINUTE_MS, { [OWN]: active }));
  expect(seen(hourOf({ spans: minutes(58_000) }))['steady_load']).toBe(100);
  expect(seen(hourOf({ spans: minutes(null) }))['steady_load']).toBeUndefined();
  const alone = Array.from({ length: 30 }, (_, at) => span(at * MINUTE_MS, (at + 1) * MINUTE_MS, {}, 58_000));
  expect(seen(hourOf({ row: { process: null }, root: null, spans: alone }))['steady_load']).toBe(100);
  expect(seen(hourOf({ spans: alone }))['steady_load']).toBeUndefined();
  const held = (change = {}) =>
    Array.from({ length: 20 }, () => ({
      device: GPU,
      process: own.id,
      lengthMs: MINUTE_MS,
      bytes: 2 ** 30,
      ...change,
    }));
  const memory = (change = {}) =>
    seen(hourOf({ decoded: { memory: () => held(change) } }))['constant_memory'];
  expect(memory()).toBe(100);
  for (const other of [{ device: 'GPU-2' }, { process: pidOf(99) }, { lengthMs: 1000 }])
    expect(memory(other)).toBeUndefined();
});

test('jobs near it: what they declare, whose processes are declared, and when they gave its device back', () => {
  const before = job('7', { endMs: MINUTE_MS, declares: { executables: ['/home/*/app'], root: null } });
  const holdings = [holds(before), holds(job('8'), { device: 'GPU-2', toMs: MINUTE_MS })];
  const hour = hourOf({ jobs: [before], holdings });
  expect(seen(hour)).toEqual({ undeclared: 100, after_job_end: 100 });
  expect(seen(hourOf({ jobs: [before], holdings: holdings.slice(1) }))).toEqual({
    undeclared: 100,
    own_executable: 100,
  });

  const member = processFact(OWN, { path: '/home/m/app' });
  const inside = job('8101', { declares: { executables: ['/home/*/app'], root: null } });
  expect(seen(hourOf({ processes: [member], root: null, jobs: [inside] }))).toEqual({ undeclared: 100 });
  const claiming = { ...own, claims: [{ name: 'SLURM_JOB_ID', value: '8101' }] };
  expect(seen(hourOf({ processes: [claiming], root: null, jobs: [inside] }))['own_executable']).toBe(100);

  const used: Entry = {
    ...{
      bucket: 'used',
      reason: null,
      cause: null,
      activity: 'active',
      holder: null,
      job: inside.id,
      evidence: 'cgroup',
    },
    ...{ process: pidOf(5), provisional: false, suspicious: false, ms: 1, fromMs: 0, toMs: 1 },
  };
  const other = processFact(5, { path: '/opt/app' });
  const cells = [
    { device: GPU, entries: [used, { ...used, process: null }, { ...used, bucket: 'held' as const }] },
  ];
  expect(seen(hourOf({ processes: [own, shell, other], cells }))['job_copy']).toBe(100);
  expect(seen(hourOf({ processes: [own, shell, other] }))['job_copy']).toBeUndefined();
});

test('what is not known is left out: a process without a record, a job without one, a device without spans', () => {
  const gone = { device: 'GPU-9', process: pidOf(98) };
  const nowhere = hourOf({
    row: gone,
    connections: [out(97)],
    holdings: [holds(job('9'), { device: 'GPU-9' })],
  });
  expect(seen(nowhere)).toEqual({ undeclared: 100 });
  const outside = processFact(OWN, { path: '/home/m/app', cgroup: '0::/weird', uid: null });
  const beside = processFact(30, {
    path: '/usr/bin/ssh',
    commandLine: 'ssh -R 1:localhost:2 h',
    cgroup: '0::/weird',
    uid: null,
  });
  expect(seen(hourOf({ processes: [outside, beside], connections: [out(30)] }))['reverse_tunnel']).toBe(70);
});

test('what its node says of a relative counts', () => {
  const child = processFact(30, { parentPid: OWN });
  const fact = {
    kind: 'process_covered',
    device: null,
    process: child.id,
    detail: '',
    firstMs: 0,
    lastMs: 0,
  } as const;
  const hidden = (processes: ObservedProcess[]) =>
    seen(hourOf({ processes, decoded: { integrity: [fact, { ...fact, process: null }] } }))['hidden_process'];
  expect(hidden([own, shell, child])).toBe(100);
  expect(hidden([own, shell, processFact(30)])).toBeUndefined();
});

test('what was seen beside the ledger is ranked by its process; what is about a node is not', () => {
  const one = {
    id: 'f_2',
    kind: 'network' as const,
    process: own.id,
    reason: 'network_scan',
    firstMs: 0,
    lastMs: 1,
  };
  const connections = [out(OWN, { kind: 'attempt', peerClass: 'internal', peers: 30 })];
  const hour = hourOf({ observations: [one, { ...one, id: 'f_3', process: null }], connections });
  expect(seen(hour, 'f_2')).toEqual({ own_executable: 100, network_scan: 100 });
  expect(signalsOfHour(hour).has('f_3')).toBe(false);
});
