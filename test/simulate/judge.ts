/** Holds what the ledger says of a played scenario to what it may say. */
import { join } from 'node:path';
import { DATABASE_NAME } from '../../api/config.ts';
import { FindingsQuery } from '../../api/contract/findings.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import type { Built } from '../replay/build.ts';
import type { Played } from '../replay/play.ts';
import { holdersOf, sharesOf } from './holders.ts';
import { NO_JOB, tripleOf } from './keys.ts';
import { type Bounds, type Expected, expectationsOf } from './oracle.ts';
import { type CellRow, type EntryRow, type Rows, readRows } from './rows.ts';
import { slackMs } from './zones.ts';

/** What was not as it must be: which rule, and what in words. */
export interface Failure {
  readonly rule: Rule;
  readonly text: string;
}

export type Rule =
  | 'played'
  | 'balance'
  | 'holders'
  | 'used'
  | 'unaccounted'
  | 'unobserved'
  | 'reason'
  | 'settled'
  | 'alarm'
  | 'late'
  | 'verify'
  | 'order';

const AUDITOR: Caller = { name: 'oracle', role: 'auditor', node: null, accounts: null };
/** Each piece of a shared device rounds to whole milliseconds, and there are many. */
const SHARED_MS = 2_000;

const seconds = (ms: number): string => (ms / 1000).toFixed(3);
const saying = (what: string, ms: number, { fromMs, toMs }: Bounds): string =>
  `${what}: ${seconds(ms)} s, and may be ${seconds(Math.max(0, fromMs))} to ${seconds(toMs)} s`;

export async function judge(built: Built, played: Played): Promise<Failure[]> {
  const file = join(played.folder, DATABASE_NAME);
  const rows = readRows(file);
  const expected = expectationsOf(built);
  const name = namesOf(built);
  return [
    ...played.complaints.map((text): Failure => ({ rule: 'played', text })),
    ...judgeCells(built, rows.cells, name),
    ...judgeHolders(built, rows, name),
    ...judgeUses(rows.entries, expected, name),
    ...judgeUnobserved(rows.entries, expected, name),
    ...judgeReasons(built, rows.entries, name),
    ...(await judgeFindings(built, played)),
    ...(await judgeProof(file)),
  ];
}

/** Devices and processes as the scenario calls them. */
function namesOf(built: Built): (key: string) => string {
  const names = new Map<string, string>();
  for (const boots of built.boots.values())
    for (const { node } of boots) {
      for (const { uuid, index } of node.devices) names.set(uuid, `${node.name} GPU ${index}`);
      names.set(node.bootId, node.name);
    }
  return (key) => {
    const [head = '', ...rest] = key.split('/');
    return [names.get(head) ?? head, ...rest].join('/');
  };
}

type Naming = (key: string) => string;

function judgeCells(built: Built, cells: readonly CellRow[], name: Naming): Failure[] {
  const failures: Failure[] = [];
  const bookedTo = new Map<string, number>();
  const booked = new Map<string, number>();
  for (const cell of cells) {
    if (cell.entriesMs !== cell.capacityMs)
      failures.push({
        rule: 'balance',
        text: `${name(cell.device)}: ${cell.entriesMs} of ${cell.capacityMs} ms`,
      });
    booked.set(cell.device, (booked.get(cell.device) ?? 0) + cell.capacityMs);
    bookedTo.set(cell.device, Math.max(bookedTo.get(cell.device) ?? 0, cell.bookedToMs));
  }
  for (const node of built.nodes.values())
    for (const { uuid } of node.devices) {
      const toMs = bookedTo.get(uuid) ?? 0;
      if (toMs < built.endMs)
        failures.push({ rule: 'balance', text: `${name(uuid)}: not booked to the end` });
      if (booked.get(uuid) !== toMs - built.startMs)
        failures.push({
          rule: 'balance',
          text: `${name(uuid)}: capacity ${booked.get(uuid)}, not ${toMs - built.startMs} ms`,
        });
    }
  return failures;
}

function judgeHolders(built: Built, { cells, entries }: Rows, name: Naming): Failure[] {
  const failures: Failure[] = [];
  const held = new Map<string, number>();
  for (const { device, holder, ms } of entries) {
    const key = `${device}|${holder}`;
    held.set(key, (held.get(key) ?? 0) + ms);
  }
  for (const [device, holdings] of holdersOf(built)) {
    const wanted = new Map<string, number>();
    for (const cell of cells.filter((one) => one.device === device))
      for (const [job, ms] of sharesOf(holdings, {
        fromMs: Math.max(built.startMs, cell.fromMs),
        toMs: cell.bookedToMs,
      }))
        wanted.set(job, (wanted.get(job) ?? 0) + ms);
    const isShared =
      new Set(holdings.map(({ job }) => job)).size > 1 || holdings.some(({ share }) => share < 1);
    for (const [key, ms] of held) {
      const [uuid, job = ''] = key.split('|');
      if (uuid === device && job !== 'null' && !job.startsWith('policy ') && !wanted.has(job))
        wanted.set(job, 0);
      if (ms < 0) failures.push({ rule: 'holders', text: `${name(device)}: ${job} less than nothing` });
    }
    for (const [job, ms] of wanted) {
      const actual = held.get(`${device}|${job}`) ?? 0;
      if (Math.abs(actual - ms) > (isShared ? SHARED_MS : 0))
        failures.push({
          rule: 'holders',
          text: `${name(device)}: ${job} was allotted ${actual}, not ${Math.round(ms)} ms`,
        });
    }
  }
  return failures;
}

const NOTHING: Bounds = { fromMs: 0, toMs: 0 };

function judgeUses(entries: readonly EntryRow[], expected: Expected, name: Naming): Failure[] {
  const failures: Failure[] = [];
  const executed = new Map<string, number>();
  const there = new Map<string, number>();
  const nameless = new Map<string, number>();
  const sum = (sums: Map<string, number>, key: string, ms: number): void =>
    void sums.set(key, (sums.get(key) ?? 0) + ms);
  for (const { device, bucket, activity, process, job, ms } of entries) {
    if (bucket === 'used') sum(executed, tripleOf(device, process ?? '', job ?? ''), ms);
    if (bucket !== 'unaccounted') continue;
    if (process === null) sum(nameless, device, ms);
    else {
      sum(there, tripleOf(device, process, NO_JOB), ms);
      if (activity === 'active') sum(executed, tripleOf(device, process, NO_JOB), ms);
    }
  }
  const said = (key: string): string => {
    const [device = '', process = '', job = ''] = key.split('|');
    return `${name(device)}: process ${name(process)} for ${job === NO_JOB ? 'nobody' : `job ${job}`}`;
  };
  const rule = (key: string): 'used' | 'unaccounted' => (key.endsWith(`|${NO_JOB}`) ? 'unaccounted' : 'used');
  for (const key of new Set([...executed.keys(), ...expected.uses.keys()])) {
    const bounds = expected.uses.get(key) ?? NOTHING;
    const ms = executed.get(key) ?? 0;
    if (ms < bounds.fromMs || ms > bounds.toMs)
      failures.push({ rule: rule(key), text: saying(said(key), ms, bounds) });
  }
  for (const key of new Set([...there.keys(), ...expected.present.keys()])) {
    const bounds = expected.present.get(key) ?? NOTHING;
    const ms = there.get(key) ?? 0;
    if (ms < bounds.fromMs || ms > bounds.toMs)
      failures.push({ rule: 'unaccounted', text: saying(`${said(key)}, there`, ms, bounds) });
  }
  for (const [device, ms] of nameless) {
    const bounds = { fromMs: 0, toMs: expected.nameless.get(device) ?? 0 };
    if (ms > bounds.toMs)
      failures.push({ rule: 'unaccounted', text: saying(`${name(device)}: no process to name`, ms, bounds) });
  }
  return failures;
}

function judgeUnobserved(entries: readonly EntryRow[], expected: Expected, name: Naming): Failure[] {
  return [...expected.unobserved].flatMap(([device, bounds]): Failure[] => {
    const ms = entries.reduce(
      (sum, entry) => sum + (entry.device === device && entry.bucket === 'unobserved' ? entry.ms : 0),
      0,
    );
    const isWithin = ms >= bounds.fromMs && ms <= bounds.toMs;
    return isWithin
      ? []
      : [{ rule: 'unobserved', text: saying(`${name(device)}: not measured`, ms, bounds) }];
  });
}

/** Without a name only what has none, and what lying sensors contradict. */
const NAMELESS = ['no_process', 'telemetry_conflict'];

function judgeReasons(built: Built, entries: readonly EntryRow[], name: Naming): Failure[] {
  const may = new Set([...built.scenario.expect.reasons]);
  const lies = built.scenario.faults.some(({ kind }) => kind === 'sensors');
  return entries.flatMap(({ device, process, reason, ms }): Failure[] => {
    const isNameless = process === null || lies;
    const isRight = reason === null || may.has(reason) || (isNameless && NAMELESS.includes(reason));
    return isRight || ms === 0
      ? []
      : [
          {
            rule: 'reason',
            text: `${name(device)}: ${reason} of ${process === null ? 'nobody' : name(process)}`,
          },
        ];
  });
}

/** Every record has come: nothing waits any more, and what is seen beside the ledger is what was there to see. */
async function judgeFindings(built: Built, { app, firstSeenMs }: Played): Promise<Failure[]> {
  const { scenario } = built;
  const { items } = await app.services.queries.findings(AUDITOR, FindingsQuery.parse({ limit: 500 }));
  const expected = new Set([...scenario.expect.network, ...scenario.expect.integrity]);
  const slowMs = 2 * slackMs(built) + VISIBLE_MS;
  return items
    .filter(({ resolvedAt }) => resolvedAt === null)
    .flatMap(({ id, kind, reason, state, severity, source, firstSeen }): Failure[] => {
      const text = `${kind} ${reason} ${source.executable ?? ''}`;
      if (state !== 'settled') return [{ rule: 'settled', text: `still awaits a record: ${text}` }];
      const afterMs = (firstSeenMs.get(id) ?? Infinity) - Math.max(built.startMs, Date.parse(firstSeen));
      if (scenario.faults.length === 0 && AT_ONCE.includes(reason) && afterMs > slowMs)
        return [{ rule: 'late', text: `${text} was to be seen after ${seconds(afterMs)} s` }];
      if (kind === 'compute' || severity === 'notice' || expected.has(reason)) return [];
      return [{ rule: 'alarm', text }];
    });
}

/** Reasons that await nobody's word to be seen, and how long what they are about may stay unseen beside two polls. */
const AT_ONCE = ['no_job', 'unknown_job', 'unverified_claim'];
const VISIBLE_MS = 2_000;

async function judgeProof(file: string): Promise<Failure[]> {
  const store = openSqlite({ file, readOnly: true });
  try {
    const report = await verify(store, () => undefined);
    const differences = report.differences.map(({ kind, where, what }) => `${kind}: ${where}: ${what}`);
    const waiting = report.pending > 0 ? [`${report.pending} hours wait to be attributed`] : [];
    return [...differences, ...report.chain, ...waiting].map((text) => ({ rule: 'verify', text }));
  } finally {
    await store.close();
  }
}
