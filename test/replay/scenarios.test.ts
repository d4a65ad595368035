/** Every scenario file says of itself what its own model comes to. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { build } from './build.ts';
import { loadScenario } from './load.ts';
import { truthOf } from './truth.ts';

const FOLDER = new URL('../scenarios/', import.meta.url);
const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .sort();
/** Noise of loads, and processes that share a second. */
const TOLERANCE = 0.02;
const SECOND_MS = 1000;

test('all are there, and no id twice', () => {
  expect(files.length).toBeGreaterThanOrEqual(59);
  const ids = files.map((name) => loadScenario(fileURLToPath(new URL(name, FOLDER))).id);
  expect(new Set(ids).size).toBe(ids.length);
});

test.each(files)('%s', (name) => {
  const built = build(loadScenario(fileURLToPath(new URL(name, FOLDER))));
  const { netSeconds, occupiedSeconds, onset } = built.scenario.expect;
  const truth = truthOf(built);
  const near = (ms: number, seconds: number): void =>
    expect(Math.abs(ms / SECOND_MS - seconds)).toBeLessThanOrEqual(Math.max(2, TOLERANCE * seconds));
  if (netSeconds !== undefined) near(truth.divertedMs, netSeconds);
  if (occupiedSeconds !== undefined) near(truth.occupiedMs, occupiedSeconds);
  if (onset !== undefined) expect(truth.onsetMs).toBe(built.startMs + onset);
  // Whatever is diverted has a name for it, unless nobody could have seen it.
  if (truth.divertedMs > 0 && built.scenario.expect.ceiling !== 'unobserved')
    expect(built.scenario.expect.reasons).not.toEqual([]);
});
