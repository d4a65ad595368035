// Runs of spans are booked as their spans would be, one by one: nothing but speed may hang on them.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { apportion } from '../../api/domain/apportion.ts';
import { createBooking } from '../../api/domain/booking.ts';
import type { ObservedSpan } from '../../api/domain/cell.ts';
import { createSpanCutter } from '../../api/domain/cutter.ts';
import { createRows } from '../../api/domain/rows.ts';
import { runsOf } from '../../api/domain/runs.ts';
import { slotsOf } from '../../api/domain/slots.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { HOUR_MS } from '../unit/domain-facts.ts';
import { aCell, RUNS } from './attribute-cells.ts';

/**
 * The same spans, cut into equal minutes as agents send them: runs of more than one. What was executed lies in the first
 * ones, where nothing contradicts itself: a run is not even.
 */
function inPieces(spans: readonly ObservedSpan[], pieceMs: number): ObservedSpan[] {
  return spans.flatMap((span) => {
    const take = createSpanCutter();
    const pieces: ObservedSpan[] = [];
    for (let fromMs = span.fromMs; fromMs < span.toMs; fromMs += pieceMs) {
      const piece = { fromMs, toMs: Math.min(span.toMs, fromMs + pieceMs) };
      pieces.push({ ...span, ...piece, ...take(span, piece) });
    }
    return span.activeMs === null || span.conflictMs > 0 ? pieces : frontLoaded(span, span.activeMs, pieces);
  });
}

function frontLoaded(span: ObservedSpan, activeMs: number, pieces: readonly ObservedSpan[]): ObservedSpan[] {
  let openMs = activeMs;
  let open = span.tenants.map((tenant) => tenant.activeMs ?? 0);
  return pieces.map((piece) => {
    const ms = Math.min(openMs, piece.toMs - piece.fromMs);
    const parts = apportion(ms, open);
    openMs -= ms;
    open = open.map((have, index) => have - (parts[index] ?? 0));
    const tenants = span.tenants.map((tenant, index) => ({ ...tenant, activeMs: parts[index] ?? 0 }));
    return { ...piece, activeMs: ms, tenants };
  });
}

it('books a run as its spans one by one', () => {
  let summed = 0;
  fc.assert(
    fc.property(aCell, fc.constantFrom(60_000, 97_001), (cell, pieceMs) => {
      const judge = createJudge(cell);
      const spans = inPieces(cell.spans, pieceMs);
      for (const run of runsOf(spans)) {
        const [slot] = slotsOf(cell, [{ fromMs: run.fromMs, toMs: run.toMs }], cell.jobs, []);
        if (slot === undefined || slot.toMs < run.toMs) continue;
        const [rows, ownRows] = [createRows(), createRows()];
        const [columns, ownColumns] = [new Map<string | null, number>(), new Map<string | null, number>()];
        if (!createBooking(judge, slot, rows, columns).run(run)) {
          expect([rows.entries(), [...columns]]).toEqual([[], []]);
          continue;
        }
        summed += run.count;
        const booking = createBooking(judge, slot, ownRows, ownColumns);
        const take = createSpanCutter();
        for (const span of spans.slice(run.first, run.first + run.count))
          booking.measured(span, take(span, span));
        expect(rows.entries()).toEqual(ownRows.entries());
        expect(rows.settlesAtMs()).toBe(ownRows.settlesAtMs());
        expect(columns).toEqual(ownColumns);
      }
    }),
    RUNS,
  );
  expect(summed).toBeGreaterThan(HOUR_MS / 60_000);
});

it('leaves no span out and puts none in twice', () => {
  fc.assert(
    fc.property(aCell, ({ spans }) => {
      const covered = runsOf(spans).flatMap(({ first, count }) => spans.slice(first, first + count));
      expect(covered).toEqual(spans);
    }),
    RUNS,
  );
});
