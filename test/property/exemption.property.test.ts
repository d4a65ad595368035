// Properties of exemptions over arbitrary cells: the books balance, no job loses or gains, and no job's process is exempt.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry } from '../../api/domain/cell.ts';
import { isJobBoundary, ownersOf } from '../../api/domain/evidence.ts';
import type { Interval } from '../../api/domain/interval.ts';
import { DEFAULT_POLICY, type Exemption } from '../../api/domain/policy.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import { HOUR_MS, job, processFact, SESSION_CGROUP } from '../unit/domain-facts.ts';
import { aCell, moment, RUNS } from './attribute-cells.ts';

const SESSION = ownersOf(processFact(1, { cgroup: SESSION_CGROUP }))[0]?.boundary ?? '';
const some = <T>(...items: T[]): fc.Arbitrary<T[]> => fc.oneof(fc.constant<T[]>([]), fc.subarray(items));
const stretches = fc.oneof(
  fc.constant<Interval[]>([]),
  fc.array(
    fc.tuple(moment, moment).map(([a, b]) => ({ fromMs: Math.min(a, b), toMs: Math.max(a, b) + 1 })),
    { maxLength: 3 },
  ),
);

const anExemption = (id: string, windows: fc.Arbitrary<Interval[]>): fc.Arbitrary<Exemption> =>
  fc
    .record({
      executables: some('/usr/**', '/opt/x', '/tmp/m'),
      boundaries: some(SESSION, 'systemd:/system.slice/x.service'),
      uids: some(2001, 2002),
      types: some('C', 'G', 'C+G'),
      windows,
    })
    .map((match) => ({
      ...{ id, job: `j_x_${id}`, owner: 'ops', account: 'overhead', reason: 'known' },
      ...{ fromMs: -HOUR_MS, toMs: 2 * HOUR_MS },
      match: { ...match, nodes: [], daily: [] },
    }));
const exemptions = (windows: fc.Arbitrary<Interval[]>) =>
  fc.tuple(anExemption('a', windows), anExemption('b', windows));

function withPolicy(facts: CellFacts, exempt: readonly Exemption[]): CellFacts {
  const jobs = new Map(facts.jobs);
  for (const { id, job: standing } of exempt)
    jobs.set(standing, job(id, { id: standing, source: 'policy', boundaries: [], user: null, uid: null }));
  return { ...facts, jobs, policy: { ...DEFAULT_POLICY, exemptions: [...exempt] } };
}

const isExempt = (entry: Entry): boolean => entry.evidence === 'policy';
const sumOf = (entries: readonly Entry[], of: (entry: Entry) => boolean): number =>
  entries.reduce((sum, entry) => sum + (of(entry) ? entry.ms : 0), 0);

test('the books balance on both axes, whenever exemptions begin and end', () => {
  let seen = 0;
  fc.assert(
    fc.property(aCell, exemptions(stretches), (facts, exempt) => {
      const { entries } = attribute(withPolicy(facts, exempt));
      expect(sumEntries(entries).capacityMs).toBe(sumEntries(attribute(facts).entries).capacityMs);
      seen += entries.filter(isExempt).length;
      for (const entry of entries.filter(isExempt)) {
        const process = entry.process === null ? undefined : facts.processes.get(entry.process);
        expect(process && ownersOf(process).some(isJobBoundary)).toBe(false);
        expect([entry.reason, entry.provisional]).toEqual([null, false]);
      }
      for (const { holder, bucket, job: by } of entries)
        if (holder?.startsWith('j_x_')) expect([bucket, by]).toEqual(['used', holder]);
    }),
    { numRuns: 2 * RUNS.numRuns },
  );
  expect(seen).toBeGreaterThan(50);
});

test('what is not exempt stays where it was, and what is exempt was unaccounted', () => {
  fc.assert(
    fc.property(aCell, exemptions(fc.constant([])), (facts, exempt) => {
      const before = attribute(facts).entries;
      const after = attribute(withPolicy(facts, exempt)).entries;
      for (const bucket of ['used', 'unobserved'] as const)
        expect(sumOf(after, (one) => one.bucket === bucket && !isExempt(one))).toBe(
          sumOf(before, (one) => one.bucket === bucket),
        );
      const unaccounted = (entries: readonly Entry[]) =>
        sumOf(entries, (one) => one.bucket === 'unaccounted');
      expect(unaccounted(after)).toBeLessThanOrEqual(unaccounted(before));
      const used = sumOf(after, (one) => one.bucket === 'used' && isExempt(one));
      expect(used).toBeLessThanOrEqual(unaccounted(before) - unaccounted(after));
      const allotted = (entries: readonly Entry[]) =>
        sumOf(entries, (one) => one.holder !== null && !one.holder.startsWith('j_x_'));
      expect(allotted(after)).toBe(allotted(before));
    }),
    RUNS,
  );
});
