/** The site's mapping: to whom jobs are charged, what is in force, and what a new version of it would move. */
import type { Clock } from '../clock.ts';
import { canonicalJson, sha256Hex } from '../contract/canonical.ts';
import type { MappingIn, MappingOut, MappingResult, Mappings } from '../contract/mapping.ts';
import type { Caller } from '../domain/caller.ts';
import { type Mapping, mappingAt } from '../domain/mapping.ts';
import {
  addDecimals,
  type Decimal,
  formatDecimal,
  HOUR_SCALE,
  multiplyDecimals,
  ZERO,
} from '../domain/money.ts';
import type { MappingRecord } from '../store/mappings.ts';
import type { MoveRow, Questions } from '../store/questions.ts';
import type { Store } from '../store/store.ts';
import { ServiceError } from './errors.ts';
import { rateFromMicros } from './queries/value.ts';

const DAY_MS = 86_400_000;
const TRIAL_DAYS = 31;
const TRIAL_MAX_DAYS = 400;
/** Statements are asked day by day: a mistyped year must not move those of decades. */
const PAST_MAX_DAYS = 400;

export interface MappingService {
  show(): Promise<Mappings>;
  /** Records all rules, or says what they would move. */
  put(caller: Caller, input: MappingIn): Promise<MappingResult>;
}

export function createMappingService(store: Store, questions: Questions, clock: Clock): MappingService {
  return {
    async show() {
      const records = await store.mappings.list();
      const items = [...records].reverse().map(toOut);
      return { current: toOut(mappingAt(records, clock.nowMs()) ?? NONE), items };
    },
    async put(caller, input) {
      if (caller.role !== 'admin') throw new ServiceError('forbidden', 'only administrators set the mapping');
      const nowMs = clock.nowMs();
      const fromMs = input.from === undefined ? dayOf(nowMs) : Date.parse(input.from);
      const reachesPast = input.reach === 'past';
      checkBegin(fromMs, reachesPast, nowMs);
      const records = await store.mappings.list();
      const record: MappingRecord = {
        ...{ version: (records.at(-1)?.version ?? 0) + 1, fromMs, rules: input.rules, reachesPast },
        ...{ recordedAtMs: nowMs, recordedBy: caller.name },
      };
      const mapping = toOut(record);
      if (input.dryRun)
        return { dryRun: true, mapping, trial: await tryMapping(questions, record, input, nowMs) };
      await store.mappings.apply(record, {
        ...{ atMs: nowMs, actor: caller.name, role: caller.role, action: MAPPING_ACTION },
        ...{ subject: mappingSubject(record), detail: journalDetail(record) },
      });
      return { dryRun: false, mapping, trial: null };
    },
  };
}

const dayOf = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;

const invalid = (field: string, message: string): ServiceError =>
  new ServiceError('invalid', `Not valid: ${field}`, [{ field, message }]);

function checkBegin(fromMs: number, reachesPast: boolean, nowMs: number): void {
  if (fromMs < dayOf(nowMs) && !reachesPast)
    throw invalid(
      'from',
      `${toTime(fromMs)} lies before today; say reach: past where charges of the past are to move`,
    );
  if (fromMs < dayOf(nowMs) - PAST_MAX_DAYS * DAY_MS)
    throw invalid('from', `lies more than ${PAST_MAX_DAYS} days back`);
}

type Trial = NonNullable<MappingResult['trial']>;

async function tryMapping(
  questions: Questions,
  mapping: Mapping,
  { trial }: MappingIn,
  nowMs: number,
): Promise<Trial> {
  const toMs = trial === undefined ? dayOf(nowMs) + DAY_MS : Date.parse(trial.to);
  const fromMs = trial === undefined ? toMs - TRIAL_DAYS * DAY_MS : Date.parse(trial.from);
  if (toMs - fromMs > TRIAL_MAX_DAYS * DAY_MS)
    throw invalid('trial.to', `lies more than ${TRIAL_MAX_DAYS} days after trial.from`);
  const rows = await questions.moves(fromMs, toMs, mapping);
  const currencies = new Set(rows.flatMap((row) => row.currency ?? []));
  const [currency = null] = currencies.size === 1 ? currencies : [];
  const moved = rows.filter(({ from, to }) => canonicalJson(from) !== canonicalJson(to));
  const groups = Map.groupBy(moved, ({ from, to }) => canonicalJson({ from, to }));
  const moves = [...groups.values()].map((group) => toMove(group, currency));
  return {
    ...{ from: toTime(fromMs), to: toTime(toMs), currency },
    moves: moves.sort((a, b) => b.allocatedMs - a.allocatedMs),
    allocatedMs: rows.reduce((sum, row) => sum + row.allocatedMs, 0),
  };
}

/** Rows of one move, at least one. */
function toMove(rows: readonly MoveRow[], currency: string | null): Trial['moves'][number] {
  let hours = ZERO;
  let amount: Decimal | null = currency === null ? null : ZERO;
  let allocatedMs = 0;
  for (const row of rows) {
    const own = { units: BigInt(row.nanoHours), scale: HOUR_SCALE };
    hours = addDecimals(hours, own);
    allocatedMs += row.allocatedMs;
    if (row.rateMicros === null && row.allocatedMs > 0) amount = null;
    else if (amount !== null && row.rateMicros !== null)
      amount = addDecimals(amount, multiplyDecimals(own, rateFromMicros(row.rateMicros)));
  }
  const [first] = rows;
  if (first === undefined) throw new Error('a move without rows');
  return {
    ...{ from: first.from, to: first.to, allocatedMs, gpuHours: formatDecimal(hours) },
    amount: amount === null ? null : formatDecimal(amount, 2),
  };
}

/** In the journal. */
export const MAPPING_ACTION = 'mapping.set';
export const mappingSubject = ({ version }: Mapping): string => `version ${version}`;

/** What the journal keeps of a version, so that a changed one shows. */
export const mappingDigest = ({ version, fromMs, rules, reachesPast }: MappingRecord): string =>
  sha256Hex(canonicalJson({ version, fromMs, rules, reachesPast }));

function journalDetail(record: MappingRecord): string {
  const { fromMs, reachesPast, rules } = record;
  const past = reachesPast ? ', and moves charges of the past' : '';
  return `from ${toTime(fromMs)}${past}; SHA-256 ${mappingDigest(record)}. Rules: ${rules.length}.`;
}

const toTime = (ms: number): string => new Date(ms).toISOString();

const NONE: MappingRecord = {
  ...{ version: 0, fromMs: 0, rules: [], reachesPast: false, recordedAtMs: 0, recordedBy: '' },
};

function toOut({ version, fromMs, rules, reachesPast, recordedAtMs, recordedBy }: MappingRecord): MappingOut {
  const none = version === 0;
  return {
    ...{ version, rules: [...rules], reach: reachesPast ? 'past' : null },
    from: none ? null : toTime(fromMs),
    recordedAt: none ? null : toTime(recordedAtMs),
    recordedBy: none ? null : recordedBy,
  };
}
