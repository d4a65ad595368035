/** The pages that quote the benchmark say what its data says. `UPDATE_DOCS=1` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { pageOf, type Report, summaryOf } from './diversion-report.ts';

const TOP = new URL('../../', import.meta.url);
const README = new URL('README.md', TOP);
const PAGE = new URL('docs/diversion.md', TOP);
const report: Report = JSON.parse(readFileSync(new URL('docs/diversion.json', TOP), 'utf8'));
const PLACE = /(<!-- diversion -->\n\n)([\s\S]*?)(\n*<!-- end -->)/;

test('README.md quotes docs/diversion.json', () => {
  const text = readFileSync(README, 'utf8');
  const wanted = text.replace(
    PLACE,
    (_, before, __, after) => `${before}${summaryOf(report)}\n\n${after.trimStart()}`,
  );
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(README, wanted);
  expect(text).toMatch(PLACE);
  expect(readFileSync(README, 'utf8')).toBe(wanted);
});

test('docs/diversion.md is made of docs/diversion.json', () => {
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, pageOf(report));
  expect(readFileSync(PAGE, 'utf8')).toBe(pageOf(report));
});

test('the report has every scenario once, and books that balance', () => {
  const ids = report.scenarios.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(report.scenarios.filter(({ score }) => !score.conserved)).toEqual([]);
});
