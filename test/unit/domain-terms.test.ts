// Which version of a declaration counts when, and at which moments that can change a verdict.
import { describe, expect, test } from 'vitest';
import type { Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { edgesOfJob, endAt, grantsOf, termsAt } from '../../api/domain/terms.ts';
import { job, MINUTE_MS, NODE } from './domain-facts.ts';

const at = (minute: number) => minute * MINUTE_MS;
const all = { node: NODE, devices: null, count: null, fromMs: 0, toMs: null, shareMilli: 1000 };
const version = (number: number, minute: number, change: Partial<Job> = {}): Job =>
  job('r', {
    ...{ selfDeclared: true, startMs: 0, firstRecordedAtMs: 0, recordedAtMs: at(minute), version: number },
    ...{ allocations: [all], ...change },
  });
const versions = (...each: Job[]): Job => ({ ...(each.at(-1) ?? job('none')), earlier: each.slice(0, -1) });
const grants = (of: Job) =>
  grantsOf(of, NODE, DEFAULT_POLICY).map(({ fromMs, toMs }) => [fromMs / MINUTE_MS, toMs / MINUTE_MS]);
const edges = (of: Job) => [...new Set(edgesOfJob(of, DEFAULT_POLICY))].map((ms) => ms / MINUTE_MS);

describe('versions', () => {
  test('count from a minute before they were recorded, the first one for all time before', () => {
    const of = versions(version(1, 0), version(2, 10), version(3, 20));
    const seen = [-1, 8, 9, 18, 19, 99].map((minute) => termsAt(of, at(minute), DEFAULT_POLICY).version);
    expect(seen).toEqual([1, 1, 2, 2, 3, 3]);
  });

  test('that change nothing when they begin to count make no edge, and one grant', () => {
    const named = versions(version(1, 0), version(2, 10, { name: 'other' }));
    expect([edges(named), grants(named)]).toEqual([[0], [[0, Infinity]]]);
    const ended = versions(version(1, 0), version(2, 10, { endMs: at(20) }));
    expect([edges(ended), grants(ended)]).toEqual([[0, 20, 20.5], [[0, 20]]]);
  });

  test('an end that is put off when it had passed leaves a hole, with an edge at each side', () => {
    const of = versions(version(1, 0, { endMs: at(5) }), version(2, 10, { endMs: at(30) }));
    expect(grants(of)).toEqual([
      [0, 5],
      [9, 30],
    ]);
    expect(edges(of)).toEqual([0, 5, 5.5, 30, 30.5, 9]);
    expect([endAt(of, at(7), DEFAULT_POLICY), endAt(of, at(9), DEFAULT_POLICY)]).toEqual([at(5), at(30)]);
  });

  test('an end that turned out earlier holds for every version', () => {
    const of = versions(version(1, 0), version(2, 10, { endMs: at(50) }), version(3, 40, { endMs: at(3) }));
    expect(grants(of)).toEqual([[0, 3]]);
    expect(endAt(of, at(2), DEFAULT_POLICY)).toBe(at(3));
  });

  test('other devices or a smaller share are another grant', () => {
    const one = { ...all, devices: ['GPU-1'] };
    const moved = versions(version(1, 0, { allocations: [one] }), version(2, 10, { allocations: [all] }));
    expect(grants(moved)).toEqual([
      [0, 9],
      [9, Infinity],
    ]);
    expect(edges(moved)).toEqual([0, 9]);
  });
});
