import { describe, expect, test } from 'vitest';
import { drawsWorkingPower, workingMilliwatts } from '../../collector/working-power.ts';

const W = 1000;

describe('working power', () => {
  test.each([
    ['a large board', 700, 280],
    ['the largest', 1000, 400],
    ['a middle one', 250, 120],
    ['a small one', 70, 42],
    ['a large one that is held down', 200, 120],
  ])('of %s of %d W is %d W', (_, limit, working) => {
    expect(workingMilliwatts(limit * W)).toBe(working * W);
    expect(drawsWorkingPower(working * W, limit * W)).toBe(true);
    expect(drawsWorkingPower(working * W - 1, limit * W)).toBe(false);
  });

  // Draw and limit of real boards that do nothing, in their highest performance state.
  test.each([
    [26.8, 70],
    [45.5, 196],
    [50.6, 350],
    [65.7, 350],
    [77.8, 700],
    [206, 1000],
  ])('is not what a board draws at rest: %d W of %d W', (draw, limit) => {
    expect(drawsWorkingPower(draw * W, limit * W)).toBe(false);
    expect(drawsWorkingPower(draw * W, { unknown: 'not supported' })).toBe(false);
  });

  test('is more than any board draws at rest where the limit is not known, or makes no sense', () => {
    for (const limit of [{ unknown: 'not supported' }, 0, -1]) {
      expect(drawsWorkingPower(249 * W, limit)).toBe(false);
      expect(drawsWorkingPower(250 * W, limit)).toBe(true);
    }
  });

  test('is not said of a power that is not known', () => {
    expect(drawsWorkingPower({ unknown: 'not supported' }, 700 * W)).toBe(false);
  });
});
