/** Faults of the way to the service, and an older kernel: what a node saw is told all the same, or missed by name. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { DATABASE_NAME } from '../../api/config.ts';
import { build } from './build.ts';
import { readScenario } from './load.ts';
import { play } from './play.ts';

const site = (node: string, faults: string): string => `
id: X
title: A job, and somebody without one
family: faults
length: 5m
nodes: {n1: {gpus: {count: 2}${node}}}
users: {alice: 1001, mallory: 1007}
loads: {full: {sm: 100, memory: 6GiB}}
jobs: {"8101": {user: alice, account: vision, start: -1h, on: {n1: 0}}}
processes:
  script: {user: alice, job: "8101", exe: /usr/bin/bash, start: -1h}
  worker: {user: alice, job: "8101", parent: script, exe: /usr/bin/python3.11, start: -3000, uses: [{gpus: 0, load: full}]}
  other: {user: mallory, exe: /tmp/x, start: 100, end: 250, uses: [{gpus: 1, load: full}], truth: diverted}
faults: [${faults}]
`;

/** Milliseconds by bucket and, of what is not measured, cause; of the scenario's own time. */
async function ledgerOf(node: string, faults: string): Promise<Record<string, number>> {
  const played = await play(build(readScenario(site(node, faults), 'x.yaml')));
  const reader = new Database(join(played.folder, DATABASE_NAME), { readonly: true });
  try {
    expect(played.complaints).toEqual([]);
    const rows = reader
      .prepare<[], { what: string; ms: number }>(
        `SELECT bucket || coalesce(' ' || cause, '') || coalesce(' ' || evidence, '') AS what, sum(ms) AS ms
         FROM entries GROUP BY what`,
      )
      .all();
    return Object.fromEntries(rows.map(({ what, ms }) => [what, ms]));
  } finally {
    reader.close();
    await played.close();
  }
}

test.each([
  ['a service that begins anew on its data', '{kind: service_restarted, at: 150, for: 60}'],
  ['answers that are lost', '{kind: answers_lost, from: 120, to: 200}'],
  ['a service that is away', '{kind: service_away, from: 120, to: 200}'],
])('%s loses nothing', { timeout: 30_000 }, async (_, fault) => {
  const found = await ledgerOf('', fault);
  expect(found['unobserved']).toBeUndefined();
  expect(Object.keys(found).sort()).toEqual(['held', 'idle', 'unaccounted', 'used cgroup']);
  for (const [what, ms] of [['used cgroup', 300_000] as const, ['unaccounted', 150_000] as const])
    expect(Math.abs((found[what] ?? 0) - ms)).toBeLessThan(5_000);
});

test('what somebody changed in the spool is not measured', { timeout: 30_000 }, async () => {
  const found = await ledgerOf('', '{kind: service_away, from: 120, to: 230}, {kind: spool_edited, at: 225}');
  // Of two devices, what was read while the service was away, and no more than a window beside it.
  expect(found['unobserved spool_corrupt']).toBeGreaterThan(2 * 70_000);
  expect(found['unobserved spool_corrupt']).toBeLessThan(2 * 180_000);
});

test('a job is known by control groups of the first version', { timeout: 30_000 }, async () => {
  const [first, second] = [await ledgerOf(', cgroups: 1', ''), await ledgerOf('', '')];
  expect(first['used cgroup']).toBeGreaterThan(295_000);
  expect(first).toEqual(second);
});
