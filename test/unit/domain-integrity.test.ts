// Findings beside the ledger, of what a node says of itself: one of each kind and subject, bounded, with its job.
import { describe, expect, test } from 'vitest';
import { processId } from '../../api/domain/cell.ts';
import { integrityFindings, MAX_SUBJECTS, type ObservedIntegrity } from '../../api/domain/integrity.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import type { CellParts } from './domain-facts.ts';
import { BOOT, cell, job, pidOf, processFact, SESSION_CGROUP } from './domain-facts.ts';

const fact = (change: Partial<ObservedIntegrity>): ObservedIntegrity => ({
  ...{ kind: 'process_hidden', process: null, device: null, detail: 'd', firstMs: 0, lastMs: 1000 },
  ...change,
});
const inside = processFact(1);
const outside = processFact(2, { cgroup: SESSION_CGROUP });
const find = (observed: ObservedIntegrity[], onDevices: readonly number[] = [], parts: CellParts = {}) => {
  const facts = cell({ processes: [inside, outside], jobs: [job('8101')], ...parts });
  return integrityFindings(facts, createJudge(facts), observed, new Set(onDevices.map(pidOf)));
};

describe('an integrity finding', () => {
  test('is of a kind and what it is about, with all its facts and their time, in whatever order they come', () => {
    const facts = [
      fact({ process: inside.id, firstMs: 5000, lastMs: 6000 }),
      fact({ process: inside.id, firstMs: 1000, lastMs: 9000 }),
      fact({ process: inside.id, kind: 'process_covered' }),
      fact({ process: outside.id }),
      fact({ device: 'GPU-1' }),
      fact({ kind: 'tool_changed' }),
    ];
    const found = find(facts);
    expect(found).toEqual(find(facts.toReversed()));
    expect(found.map((one) => one.id)).toEqual(found.map((one) => one.id).sort());
    const shown = found.map((one) => [
      one.reason,
      one.process,
      one.device,
      one.facts.length,
      one.firstMs,
      one.lastMs,
    ]);
    expect(shown).toHaveLength(5);
    expect(shown).toEqual(
      expect.arrayContaining([
        ['process_hidden', inside.id, null, 2, 1000, 9000],
        ['process_hidden', outside.id, null, 1, 0, 1000],
        ['process_hidden', null, 'GPU-1', 1, 0, 1000],
        ['process_covered', inside.id, null, 1, 0, 1000],
        ['tool_changed', null, null, 1, 0, 1000],
      ]),
    );
  });

  test('names the job that the process sits in; what its environment says, or no record tells, names none', () => {
    const claims = [{ name: 'SLURM_JOB_ID', value: '8101' }];
    const processes = [inside, { ...outside, claims }];
    const jobOf = (process: ObservedIntegrity['process']) =>
      find([fact({ process })], [], { processes }).map((one) => [one.job, one.evidence]);
    expect(jobOf(inside.id)).toEqual([['j_8101', 'cgroup']]);
    expect(jobOf(outside.id)).toEqual([[null, null]]);
    expect(jobOf(processId(BOOT, '9/?'))).toEqual([[null, null]]);
    expect(jobOf(null)).toEqual([[null, null]]);
  });

  test.each<[string, Partial<ObservedIntegrity>, readonly number[]]>([
    ['warn', { kind: 'tool_changed' }, []],
    ['warn', { kind: 'process_hidden', process: inside.id }, [1]],
    ['warn', { kind: 'process_covered', process: inside.id, device: 'GPU-1' }, []],
    ['notice', { kind: 'process_hidden', process: inside.id }, [2]],
    ['notice', { kind: 'process_hidden' }, [1]],
    ['notice', { kind: 'tool_exposed', device: 'GPU-1' }, []],
  ])('is a %s: %j, on devices: %j', (severity, change, onDevices) => {
    expect(find([fact(change)], onDevices).map((one) => one.severity)).toEqual([severity]);
  });

  test('of more subjects than are told one by one the later ones are one finding of the node', () => {
    const many = Array.from({ length: MAX_SUBJECTS + 3 }, (_, at) =>
      fact({ device: `GPU-${at}`, firstMs: at, lastMs: at, detail: `${at}` }),
    );
    const again = fact({ device: 'GPU-0', firstMs: 900, lastMs: 901 });
    const found = find([...many, again]);
    expect(found).toHaveLength(MAX_SUBJECTS + 1);
    const ofNode = found.find((one) => one.device === null);
    expect(ofNode?.facts.map((one) => one.device)).toEqual([0, 1, 2].map((at) => `GPU-${MAX_SUBJECTS + at}`));
    expect(found.find((one) => one.device === 'GPU-0')?.lastMs).toBe(901);
  });

  test('keeps facts of one moment in one order: by what they are about, then by their words', () => {
    const same = [
      fact({ device: 'GPU-2', detail: 'b' }),
      fact({ device: 'GPU-2', detail: 'a' }),
      fact({ device: 'GPU-2', detail: 'a' }),
      fact({ device: 'GPU-1', detail: 'z' }),
      fact({ device: 'GPU-2', detail: 'c', lastMs: 500 }),
    ];
    const details = (of: ObservedIntegrity[]) =>
      find(of)
        .find((one) => one.device === 'GPU-2')
        ?.facts.map((one) => one.detail);
    expect(details(same)).toEqual(['c', 'a', 'a', 'b']);
    expect(details(same.toReversed())).toEqual(['c', 'a', 'a', 'b']);
  });
});
