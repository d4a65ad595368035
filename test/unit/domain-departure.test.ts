// A process that was gone at the next reading left with its job, where that ended in between.
import { describe, expect, test } from 'vitest';
import type { ObservedSpan } from '../../api/domain/cell.ts';
import { endWithJobs } from '../../api/domain/departure.ts';
import { pidOf, processFact, span } from './domain-facts.ts';

const LEFT = pidOf(1);
/** Readings at 10 s and 20 s: the process was seen by the first and gone at the second, so it has up to 15 s. */
const spans: readonly ObservedSpan[] = [span(0, 15_000, { 1: 15_000 }), span(15_000, 30_000, {})];
const known = (exitedMs: number | null) =>
  new Map([1, 2].map((pid) => [pidOf(pid), processFact(pid, pid === 1 ? { exitedMs } : {})]));
const cut = (endsMs: readonly number[], exitedMs: number | null = 20_000, given = spans) =>
  endWithJobs(given, known(exitedMs), (id) => (id === LEFT ? endsMs : []));
const shown = (given: readonly ObservedSpan[]) =>
  given.map(({ fromMs, toMs, activeMs, tenants }) => [
    fromMs,
    toMs,
    activeMs,
    tenants.map((one) => one.activeMs),
  ]);

describe('a process that left', () => {
  test('left with its job, where that ended after it was seen last', () => {
    for (const endMs of [10_000, 12_000, 14_999]) {
      expect(shown(cut([endMs]))).toEqual([
        [0, endMs, endMs, [endMs]],
        [endMs, 15_000, 0, []],
        [15_000, 30_000, 0, []],
      ]);
    }
    expect(cut([12_000])[1]?.method).toBe('none');
  });

  test('was there as reported where its job ended before it was seen last, or after it left, or it has none', () => {
    for (const ends of [[9_999], [15_000], []]) expect(cut(ends)).toBe(spans);
  });

  test('is not one that lives, that was at work to the end, or that ended long after it left the device', () => {
    for (const exitedMs of [null, 15_000, 15_000 + 90_001]) expect(cut([12_000], exitedMs)).toBe(spans);
  });

  test('takes nothing from others: they keep what they executed', () => {
    const shared = [span(0, 15_000, { 1: 6000, 2: 3000 })];
    expect(shown(cut([10_000], 20_000, shared))).toEqual([
      [0, 10_000, 6000, [4000, 2000]],
      [10_000, 15_000, 1000, [1000]],
    ]);
  });

  test('leaves each at its own time, where several left', () => {
    const both = [span(0, 15_000, { 1: 6000, 2: 6000 })];
    const processes = new Map([1, 2].map((pid) => [pidOf(pid), processFact(pid, { exitedMs: 20_000 })]));
    const ends = (id: string) => (id === LEFT ? [14_000] : [12_000]);
    expect(endWithJobs(both, processes, ends).map(({ toMs, tenants }) => [toMs, tenants.length])).toEqual([
      [12_000, 2],
      [14_000, 1],
      [15_000, 0],
    ]);
  });

  test('may have unknown activity', () => {
    const unknown = [span(0, 15_000, { 1: null })];
    expect(shown(cut([12_000], 20_000, unknown))).toEqual([
      [0, 12_000, null, [null]],
      [12_000, 15_000, null, []],
    ]);
  });
});
