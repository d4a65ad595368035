/** A statement is remembered day by day; whatever changes, it is what the lines say, to the last digit. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { Statement } from '../../api/contract/finance.ts';
import { addDecimals, formatDecimal, hoursFromMs, multiplyDecimals, ZERO } from '../../api/domain/money.ts';
import { askLedger } from '../../api/services/queries/ledger.ts';
import { rateFromMicros } from '../../api/services/queries/value.ts';
import { openQuestions } from '../../api/store/sqlite/queries/open.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const DAY = 24 * HOUR;
const clock = handClock(START + 2 * DAY + 3 * HOUR);
let service: Service;
let admin: string;
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  admin = await service.tokenFor('admin');
  const gpus = [0, 1, 2].map((index) => device('n1', index));
  const stream = new Stream('n1');
  const one = processFact(7);
  // Spans of lengths that are no round part of an hour, on two days.
  for (const [at, fromMs] of [START, START + HOUR, START + DAY, START + 2 * DAY].entries()) {
    const lengthMs = 1_234_567 + 7 * at;
    const batch = stream.batch(fromMs, fromMs + lengthMs, {
      inventory: gpus,
      processes: [one],
      tenancies: gpus.map((gpu) => tenancy(gpu.uuid, fromMs, lengthMs, one)),
    });
    await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  }
});
afterAll(() => service.stop());

const Line = z.object({ account: z.string(), model: z.string(), ms: z.int(), micros: z.string().nullable() });

/** Line by line from the hourly sums, each rounded by itself. */
function byHand(): string[] {
  const database = new Database(join(service.folder, 'gpuledger.sqlite'), { readonly: true });
  const card =
    '(SELECT c.version FROM rate_cards c WHERE c.effective_from_ms <= l.hour_ms ORDER BY c.effective_from_ms DESC, c.version DESC LIMIT 1)';
  const lines = z.array(Line).parse(
    database
      .prepare(
        `SELECT l.account, v.model, sum(l.allocated_ms) AS ms,
           (SELECT r.micros_per_gpu_hour FROM rates r WHERE r.version = ${card} AND r.model = 'default') AS micros
         FROM ledger_hours l JOIN devices v ON v.device = l.device WHERE l.holder <> 0
         GROUP BY l.holder, l.account, l.device, l.hour_ms - l.hour_ms % ${DAY}, ${card}`,
      )
      .all(),
  );
  database.close();
  return [...Map.groupBy(lines, (line) => `${line.account} ${line.model}`)]
    .map(([name, own]) => {
      const hours = own.reduce((sum, { ms }) => addDecimals(sum, hoursFromMs(ms)), ZERO);
      const amount = own.reduce(
        (sum, { ms, micros }) =>
          addDecimals(sum, multiplyDecimals(hoursFromMs(ms), rateFromMicros(micros ?? '0'))),
        ZERO,
      );
      return `${name} ${formatDecimal(hours)} ${formatDecimal(amount, 2)}`;
    })
    .sort();
}

async function asked(): Promise<{ lines: string[]; statement: Statement }> {
  await service.app.attribution.whenIdle();
  const answer = await service.ask('GET', '/v1/statements?period=2026-10', { token: admin });
  const statement = Statement.parse(answer.json);
  const lines = statement.accounts
    .flatMap((account) => account.lines)
    .map((line) => `${line.account} ${line.model} ${line.gpuHours} ${line.amount}`);
  return { lines: lines.sort(), statement };
}

const declare = async (externalId: string, account: string, fromMs: number, toMs: number): Promise<void> => {
  const body = {
    ...{ source: 'slurm', externalId, account },
    start: new Date(fromMs).toISOString(),
    end: new Date(toMs).toISOString(),
    allocations: [{ node: 'n1', count: 2 }],
  };
  expect((await service.ask('POST', '/v1/jobs', { token: admin, body })).status).toBeLessThan(300);
};
const setRate = async (fromMs: number, rate: string): Promise<void> => {
  const body = {
    effectiveFrom: new Date(fromMs).toISOString(),
    currency: 'EUR',
    perGpuHour: { default: rate },
  };
  expect((await service.ask('PUT', '/v1/rates', { token: admin, body })).status).toBe(200);
};

test('after each change it is what the lines say', async () => {
  await setRate(START - DAY, '2.123457');
  const empty = await asked();
  expect(empty.lines).toEqual([]);
  expect(empty.statement.check).toMatchObject({ balanced: true });
  const seen = new Set<string>();
  const steps = [
    () => declare('1', 'physics', START + 1_001, START + DAY + 1_000_003),
    () => declare('2', 'biology', START + 17, START + 999_999),
    // The same day again, now another account.
    () => declare('2', 'chemistry', START + 17, START + 999_999),
    () => declare('1', 'physics', START + 1_001, START + 2 * DAY + 77_777),
    // Another rate in the middle of a day, and one that replaces it.
    () => setRate(START + HOUR, '0.000001'),
    () => setRate(START + HOUR, '3'),
  ];
  for (const step of steps) {
    await step();
    const { lines, statement } = await asked();
    expect(lines.length).toBeGreaterThan(0);
    expect(lines).toEqual(byHand());
    expect(statement.check).toMatchObject({ balanced: true, differenceMs: 0 });
    expect(statement.check.capacityMs).toBe(empty.statement.check.capacityMs);
    seen.add(lines.join());
    // And once more from memory.
    expect((await asked()).lines).toEqual(lines);
  }
  expect(seen.size).toBe(steps.length);
});

test('the ledger is not read hour by hour beyond a bound, and time without hours does not count', async () => {
  await service.app.attribution.whenIdle();
  const questions = openQuestions(join(service.folder, 'gpuledger.sqlite'));
  const longAgo = START - 300 * DAY;
  const range = { from: new Date(longAgo).toISOString(), to: new Date(START + 90 * DAY).toISOString() };
  const fine = { fromMs: longAgo, toMs: START + 90 * DAY, groups: ['device', 'day'] } as const;
  const size = await questions.ledgerHours(fine);
  const rows = await questions.ledger({ ...fine, groups: ['device', 'hour'], maxRows: 10_000 });
  expect(size).toBe(rows.rows.length);
  const ask = (group_by: 'device' | 'account', deviceHoursMax: number) =>
    askLedger(questions, { ...range, group_by: [group_by] }, clock.nowMs(), deviceHoursMax);
  expect((await ask('device', size)).rows).toHaveLength(3);
  await expect(ask('device', size - 1)).rejects.toMatchObject({ code: 'invalid', errors: [{ field: 'to' }] });
  expect((await ask('account', 0)).total.capacityMs).toBeGreaterThan(0);
  await questions.close();
});
