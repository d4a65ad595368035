/** What a policy would have covered: the last days' unaccounted time, judged by the same code with the other policy. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BatchBody, HOUR_MS } from '../contract/batch.ts';
import type { PolicyResult } from '../contract/policy.ts';
import type { Job } from '../domain/job.ts';
import type { Policy } from '../domain/policy.ts';
import type { UnaccountedHour } from '../store/policies.ts';
import type { Store } from '../store/store.ts';
import { readHourOf } from './load-hour.ts';
import { computeNodeHour, watermarksOf } from './node-hour.ts';

const TRIAL_MS = 7 * 24 * HOUR_MS;
/** Each takes some milliseconds; the newest are tried. */
const HOURS_MAX = 500;

type Trial = NonNullable<PolicyResult['trial']>;
type Covered = Trial['covered'][number];

/** `jobs` stand for the exemptions of `policy`, which counts here as if it had always been in force. */
export async function tryPolicy(
  store: Store,
  policy: Policy,
  jobs: readonly Job[],
  nowMs: number,
): Promise<Trial> {
  const fromMs = Math.floor((nowMs - TRIAL_MS) / HOUR_MS) * HOUR_MS;
  const always = { ...policy, exemptions: policy.exemptions.map((one) => ({ ...one, fromMs })) };
  const names = new Map(policy.exemptions.map((one) => [one.job, one.id]));
  const { hours, count } = await store.policies.listUnaccounted(fromMs, HOURS_MAX);
  const covered = new Map<string, Covered>();
  for (const hour of hours) {
    for (const one of await coveredIn(store, hour, always, jobs, nowMs)) {
      const exemption = names.get(one.exemption) ?? one.exemption;
      const key = `${one.finding} ${exemption}`;
      covered.set(key, { ...one, exemption, ms: one.ms + (covered.get(key)?.ms ?? 0) });
    }
    await nextTurn();
  }
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(nowMs).toISOString(),
    ...{ hours: hours.length, leftOut: count - hours.length },
    covered: [...covered.values()].sort((a, b) => b.ms - a.ms || (a.finding < b.finding ? -1 : 1)),
  };
}

async function coveredIn(
  store: Store,
  hour: UnaccountedHour,
  policy: Policy,
  jobs: readonly Job[],
  nowMs: number,
): Promise<Covered[]> {
  const bodies = (await store.batches.readHour(hour)).map((batch): BatchBody => JSON.parse(batch.body));
  const loaded = await readHourOf(store, hour, bodies);
  const { facts } = loaded;
  const sources = watermarksOf(facts.sources, facts.policy, nowMs);
  const before = computeNodeHour({ ...loaded, sources });
  const own = new Set(jobs.map((job) => job.id));
  const after = computeNodeHour({
    ...{ ...loaded, sources, facts: { ...facts, policy } },
    jobs: [...loaded.jobs.filter((job) => !own.has(job.id)), ...jobs],
  });
  const left = new Map<string, number>();
  for (const { id, rows } of after.findings)
    left.set(
      id,
      rows.reduce((sum, row) => sum + row.activeMs + row.residentMs, 0),
    );
  const byProcess = new Map<string, string>();
  for (const { entries } of after.cells)
    for (const { evidence, process, job } of entries)
      if (evidence === 'policy' && process !== null && job !== null) byProcess.set(process, job);
  return before.findings.flatMap(({ id, rows }) => {
    const ms = rows.reduce((sum, row) => sum + row.activeMs + row.residentMs, 0) - (left.get(id) ?? 0);
    const process = rows.find((row) => row.process !== null && byProcess.has(row.process))?.process ?? null;
    if (ms <= 0 || process === null) return [];
    const executable = loaded.processes.get(process)?.executable?.path ?? null;
    return [{ finding: id, exemption: byProcess.get(process) ?? '', executable, node: hour.nodeName, ms }];
  });
}
