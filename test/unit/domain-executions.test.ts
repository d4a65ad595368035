/** What a process ran at a moment. */
import { expect, test } from 'vitest';
import type { ExecutableFact } from '../../api/contract/batch.ts';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import { asOf, mergeProcess } from '../../api/domain/process.ts';
import { processFact } from './domain-facts.ts';

const file = (path: string): ExecutableFact => ({
  ...{ path, device: '8:1', inode: path, deleted: false, fileSystem: 'ext4' },
});
const [a, b, c] = [file('/a'), file('/b'), file('/c')];
const ran = (now: ExecutableFact, earlier: ExecutableFact[], fromMs?: number): ObservedProcess => ({
  ...processFact(7),
  ...{ executable: now, earlierExecutables: earlier },
  ...(fromMs === undefined ? {} : { executions: [{ fromMs, executable: now }] }),
});
const pathAt = (one: ObservedProcess, atMs: number): string | undefined => asOf(one, atMs).executable?.path;

test('without a noticed exec it always ran what it runs', () => {
  expect(pathAt(ran(b, [a]), 0)).toBe('/b');
});

test('before its last exec it ran what stands last among the earlier ones', () => {
  const one = ran(c, [a, b], 500);
  expect(pathAt(one, 499)).toBe('/b');
  expect(asOf(one, 499).earlierExecutables).toEqual([a]);
  expect(pathAt(one, 500)).toBe('/c');
  expect(asOf(one, 500)).toBe(one);
});

test('facts of several moments tell of several execs, whatever order they come in', () => {
  const facts = [ran(a, []), ran(b, [a], 200), ran(c, [a, b], 500)];
  const merged = facts.reduce(mergeProcess);
  expect([100, 200, 499, 500].map((atMs) => pathAt(merged, atMs))).toEqual(['/a', '/b', '/b', '/c']);
  expect(merged.executions?.map(({ fromMs }) => fromMs)).toEqual([200, 500]);
});

test('what it came back to counts from then on', () => {
  const merged = [ran(a, []), ran(b, [a], 200), ran(a, [b], 500)].reduce(mergeProcess);
  expect([300, 600].map((atMs) => pathAt(merged, atMs))).toEqual(['/b', '/a']);
  // Nobody knows what it had been before: what it runs now is said of no other time.
  expect(pathAt(merged, 100)).toBe('/a');
});
