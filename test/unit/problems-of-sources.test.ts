/** What a source could not use: each once, bounded, clean, and without credentials. */
import { expect, test } from 'vitest';
import { SOURCE_LIMITS } from '../../api/contract/sources.ts';
import { attributesOf } from '../../api/schedulers/attributes.ts';
import { backoffMs } from '../../api/schedulers/backoff.ts';
import { createProblems, hide } from '../../api/schedulers/problems.ts';

const HOUR = 3_600_000;

test('a problem is new once, moves to the front when it is said again, and passes when it is not', () => {
  const problems = createProblems([]);
  expect(problems.add({ subject: 'a', message: 'x' }, 1)).toBe(true);
  expect(problems.add({ subject: 'b', message: 'x' }, 2)).toBe(true);
  expect(problems.add({ subject: 'a', message: 'x' }, 3)).toBe(false);
  expect(problems.list(4).problems.map((one) => `${one.subject}${one.atMs}`)).toEqual(['a3', 'b2']);
  expect(problems.list(2 + HOUR + 1).problems.map((one) => one.subject)).toEqual(['a']);
});

test('a million of them keep the newest fifty, and are counted', () => {
  const problems = createProblems([]);
  let told = 0;
  for (let at = 0; at < 100_000; at += 1)
    if (problems.add({ subject: `job ${at}`, message: 'x' }, at)) told += 1;
  const { problems: newest, count } = problems.list(100_000);
  expect(newest).toHaveLength(SOURCE_LIMITS.problems);
  expect(newest[0]?.subject).toBe('job 99999');
  expect(count).toBe(100_000);
  expect(told).toBe(SOURCE_LIMITS.problems);
});

test('text is cut, without control characters, and says something', () => {
  const problems = createProblems(['hunter2']);
  problems.add({ subject: `${'s'.repeat(999)}`, message: '\u0000\u001b[31m' }, 1);
  problems.add({ subject: null, message: `hunter2 \ud800 ${'m'.repeat(2000)}` }, 2);
  const [newest, oldest] = problems.list(3).problems;
  expect(newest?.message).toMatch(/^\[redacted\] {2,}m{900,}$/);
  expect(newest?.message.length).toBeLessThanOrEqual(1000);
  expect(oldest).toMatchObject({ subject: 's'.repeat(300), message: '[31m' });
});

test('an address shows the host only', () => {
  expect(hide('GET https://me:p%40ss@host:8265/api failed', [])).toBe(
    'GET https://[redacted]@host:8265/api failed',
  );
  expect(hide('mail to me@host', [])).toBe('mail to me@host');
});

test('it is tried again later and later, never all at once', () => {
  for (let failures = 1; failures < 40; failures += 1) {
    const ms = backoffMs(failures);
    const full = Math.min(300_000, 1000 * 2 ** Math.min(failures - 1, 20));
    expect(ms).toBeGreaterThanOrEqual(Math.floor(full / 2));
    expect(ms).toBeLessThanOrEqual(full);
  }
  expect(new Set(Array.from({ length: 200 }, () => backoffMs(9))).size).toBeGreaterThan(1);
});

test('attributes are cut to what the service takes', () => {
  const attributes = attributesOf([
    ['partition', 'gpu'],
    ['partition', 'other'],
    ['label:a b/ü', 'two\nlines'],
    ['__proto__', 'x'],
    ['empty', ''],
    ['none', null],
    ['long', 'x'.repeat(5000)],
    ['///', 'no name is left'],
  ]);
  expect(attributes).toEqual({
    ...{ partition: 'gpu', 'label:a_b/_': 'two?lines', proto__: 'x', long: 'x'.repeat(1024) },
  });
  const many = Array.from({ length: 1000 }, (_, at): [string, string] => [`n${at}`, 'x'.repeat(1000)]);
  expect(Object.keys(attributesOf(many))).toHaveLength(16);
});
