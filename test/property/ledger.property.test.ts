// The ledger is a function of its facts: whatever their order, however often, with the books balanced in every answer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LedgerGroup } from '../../api/store/questions.ts';
import { aPlan, END, type Fact, turns } from './ledger-plan.ts';
import { derivedOf, hoursOf, inOrder, type Ledger, openLedger, shuffled } from './ledger-play.ts';

/**
 * A failure is shrunk for this long at most, so that it is told before the test times out. The same sites each time, or
 * those of GPULEDGER_SEED.
 */
const LIMIT = { interruptAfterTimeLimit: 20_000, seed: Number(process.env['GPULEDGER_SEED'] ?? 20261123) };

async function withLedger<T>(work: (ledger: Ledger) => Promise<T>): Promise<T> {
  const ledger = openLedger();
  try {
    return await work(ledger);
  } finally {
    await ledger.close();
  }
}

const GROUPS: readonly (readonly LedgerGroup[])[] = [
  ['account'],
  ['user'],
  ['job'],
  ['node'],
  ['model'],
  ['device'],
  ['hour'],
  ['day'],
  ['job', 'hour', 'device'],
  ['account', 'day', 'node'],
];

async function expectBalanced(ledger: Ledger): Promise<void> {
  const totals = new Set<string>();
  for (const groups of GROUPS) {
    let [capacityMs, allocatedMs] = [0, 0];
    for (const row of await ledger.ask(groups)) {
      const { usedMs, heldMs, unaccountedMs, idleMs, unobservedMs } = row;
      expect(usedMs + heldMs + unaccountedMs + idleMs + unobservedMs).toBe(row.capacityMs);
      expect(row.allocatedMs).toBe(
        groups[0] === 'job' && row.group[0] !== null ? row.capacityMs : row.allocatedMs,
      );
      expect(row.unaccountedActiveMs).toBeLessThanOrEqual(unaccountedMs);
      expect(row.unaccountedProvisionalMs).toBeLessThanOrEqual(unaccountedMs);
      expect(row.unaccountedInsideMs).toBeLessThanOrEqual(Math.min(unaccountedMs, row.allocatedMs));
      capacityMs += row.capacityMs;
      allocatedMs += row.allocatedMs;
    }
    totals.add(`${capacityMs} ${allocatedMs}`);
  }
  let [capacityMs, allocatedMs] = [0, 0];
  for (const period of ['2026-10', '2026-11']) {
    const statement = await ledger.statement(period);
    let chargedMs = 0;
    for (const charge of statement.charges) {
      chargedMs += charge.capacityMs;
      allocatedMs += charge.allocatedMs;
    }
    expect(chargedMs).toBe(statement.capacityMs);
    capacityMs += chargedMs;
  }
  totals.add(`${capacityMs} ${allocatedMs}`);
  expect(totals.size).toBe(1);
}

/** The node-hours that a fact may concern even where it changes nothing; null: any. */
function concerns(fact: Fact): (node: string, hourMs: number) => boolean {
  if (fact.kind === 'post') return (node) => node === fact.node;
  if (fact.kind === 'watermark') return (_node, hourMs) => hourMs < END;
  if (fact.kind === 'fleet') return () => false;
  const patched = fact.kind === 'patch' ? (fact.patch.allocations ?? []) : [];
  const nodes = new Set([...fact.job.allocations, ...patched].map((one) => one.node));
  // Where its processes ran, and where it holds devices.
  return (node, hourMs) => hourMs < END || nodes.has(node);
}

describe('the ledger', () => {
  test('attributes again what a late fact changes, and nothing that it does not concern', async () => {
    await fc.assert(
      fc.asyncProperty(aPlan, fc.nat(), async (plan, pick) => {
        const lanes = plan.lanes.filter((lane) => lane.length > 0);
        const chosen = lanes[pick % lanes.length];
        const late = chosen?.at(-1);
        if (late === undefined) return;
        await withLedger(async (ledger) => {
          await inOrder(ledger, { lanes: lanes.map((lane) => (lane === chosen ? lane.slice(0, -1) : lane)) });
          const [before, capacity] = [hoursOf(ledger), derivedOf(ledger).capacity];
          await ledger.tell(late);
          await ledger.attribute();
          const after = hoursOf(ledger);
          const moved = JSON.stringify(derivedOf(ledger).capacity) !== JSON.stringify(capacity);
          const mayConcern = concerns(late);
          for (const key of new Set([...before.keys(), ...after.keys()])) {
            const [was, is] = [before.get(key), after.get(key)];
            if (was?.text !== is?.text) expect(is?.seq).not.toBe(was?.seq);
            else if (is?.seq !== was?.seq && !moved) {
              const [node = '', hour] = key.split(' ');
              expect({ key, may: mayConcern(node, Number(hour)) }).toEqual({ key, may: true });
            }
          }
        });
      }),
      { ...LIMIT, numRuns: 20 },
    );
  });

  test('is the same whatever the order and repetition of its facts, balances, and verifies', async () => {
    await fc.assert(
      fc.asyncProperty(aPlan, turns, async (plan, script) => {
        const wanted = await withLedger(async (ledger) => inOrder(ledger, plan));
        await withLedger(async (ledger) => {
          expect(await shuffled(ledger, plan, script)).toEqual(wanted);
          await expectBalanced(ledger);
          expect(await ledger.verify()).toMatchObject({ ok: true, differences: [], chain: [], pending: 0 });
          await ledger.again();
          expect(derivedOf(ledger)).toEqual(wanted);
        });
      }),
      { ...LIMIT, numRuns: 10 },
    );
  });
});
