// How complete an answer says that it is.
import { expect, test } from 'vitest';
import { completeness } from '../../api/services/queries/completeness.ts';

const NOW = Date.UTC(2026, 9, 5, 8);
const MINUTE = 60_000;
const node = (name: string, completeToMs: number | null, silentToMs: number | null) => ({
  ...{ name, enrolled: completeToMs !== null, lastHeardMs: NOW, waitingFromMs: null },
  ...{ completeToMs, silentToMs },
});

test('a node lags when it is silent, and when what it reports is long past: its clock is behind, or it catches up', () => {
  const nodes = [
    node('fresh', NOW - 30_000, null),
    node('silent', NOW - 20 * MINUTE, NOW - 2 * MINUTE),
    node('behind', NOW - 16 * MINUTE, null),
    node('never heard', null, NOW - 2 * MINUTE),
  ];
  const answer = completeness({ nodes, sources: [], pendingCells: 0, provisionalFromMs: null }, NOW);
  expect(answer.laggingNodes).toEqual(['silent', 'behind']);
  expect(answer.completeTo).toBe(new Date(NOW - 16 * MINUTE).toISOString());
});
