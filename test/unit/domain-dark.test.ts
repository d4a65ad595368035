// Time of a finding that was not measured: when, why, and what stood on both sides.
import { expect, test } from 'vitest';
import { darkWithin } from '../../api/domain/dark.ts';
import { span } from './domain-facts.ts';

const WHOLE = { fromMs: 0, toMs: 100_000 };

test('a gap has its cause; what nobody reported is the agent’s silence; the same process before and after is said', () => {
  const spans = [
    span(0, 10_000, { 1: 10_000 }),
    span(40_000, 50_000, { 1: 9000, 2: 1000 }),
    span(60_000, 70_000, { 1: 0 }),
  ];
  const gaps = [{ fromMs: 50_000, toMs: 60_000, reason: 'tool_timeout' as const }];
  expect(darkWithin(WHOLE, spans, gaps)).toEqual([
    { fromMs: 10_000, toMs: 40_000, reason: 'agent_silent', sameAround: true },
    { fromMs: 50_000, toMs: 60_000, reason: 'tool_timeout', sameAround: false },
  ]);
});

test('of a process of which the device does not tell what it executed, nothing is said', () => {
  const spans = [span(0, 10_000, { 1: null }), span(40_000, 50_000, { 1: null })];
  expect(darkWithin(WHOLE, spans, [])).toMatchObject([{ fromMs: 10_000, sameAround: false }]);
});

test('what lies outside of the finding’s time, or is measured, is none', () => {
  const spans = [span(0, 10_000, { 1: 1 }), span(10_000, 20_000, {}), span(150_000, 160_000, { 1: 1 })];
  expect(darkWithin(WHOLE, spans, [])).toEqual([]);
});
