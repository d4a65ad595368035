/** Use of a job that is marked: a finding without time, and no verdict. */
import { expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts } from '../../api/domain/cell.ts';
import { groupFindings, mergeRows, summarise } from '../../api/domain/finding.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { cell, GPU, holds, job, processFact, slurmCgroup, span } from './domain-facts.ts';

const inside = { cgroup: slurmCgroup(1) };
const script = processFact(20, { ...inside, path: '/usr/bin/bash' });
const trainer = processFact(21, { ...inside, path: '/opt/train', parentPid: 20 });
const shell = processFact(22, { ...inside, path: '/usr/bin/bash', parentPid: 21 });
const other = processFact(23, { ...inside, path: '/tmp/other', parentPid: 22 });
const one = job('1', { boundaries: ['slurm:1'] });
const facts = (last = other): CellFacts =>
  cell({
    processes: [script, trainer, shell, last],
    jobs: [one],
    holdings: [holds(one)],
    spans: [span(0, 10_000, { 21: 4000 }), span(10_000, 20_000, { 23: 9000 })],
  });
const findingsOf = (of: CellFacts) =>
  groupFindings(of, createJudge(of), [{ device: GPU, entries: attribute(of).entries }]);

test('it is a notice of that job, settled, a suspicion, and has no time', () => {
  const [finding, ...more] = findingsOf(facts());
  expect(more).toEqual([]);
  expect(finding?.rows).toMatchObject([
    { process: other.id, job: one.id, reason: 'unlike_declared', activeMs: 0, residentMs: 0 },
  ]);
  expect(summarise(mergeRows(finding?.rows ?? []), 0)).toMatchObject({
    ...{ reason: 'unlike_declared', reasons: ['unlike_declared'], process: other.id, insideJob: one.id },
    ...{ state: 'settled', severity: 'notice', strength: 'suspicion', activeMs: 0, provisionalMs: 0 },
  });
});

test('an executable that could not be read is no reason to look', () => {
  expect(findingsOf(facts({ ...other, executable: null }))).toEqual([]);
});

test('the time stays that of the job', () => {
  const used = attribute(facts()).entries.filter(({ bucket }) => bucket === 'used');
  expect(used.reduce((sum, { ms }) => sum + ms, 0)).toBe(13_000);
});
