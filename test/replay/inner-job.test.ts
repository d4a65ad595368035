/** A job inside of another one: the outer one is charged, and the inner one's page says what it used. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { JobsQuery } from '../../api/contract/jobs.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { build } from './build.ts';
import { loadScenario } from './load.ts';
import { play } from './play.ts';

const AUDITOR: Caller = { name: 'test', role: 'auditor', node: null, accounts: null };
const FILE = fileURLToPath(new URL('../scenarios/more/d57.yaml', import.meta.url));

test('what an inner job used is its own, and counted at the outer one', { timeout: 60_000 }, async () => {
  const played = await play(build(loadScenario(FILE)));
  try {
    const { queries } = played.app.services;
    const { items } = await queries.jobs(AUDITOR, JobsQuery.parse({}));
    const detail = (id: string) =>
      queries.job(AUDITOR, items.find(({ externalId }) => externalId === id)?.id ?? '');
    const inner = await detail('raysubmit_K2');
    const outer = items.find(({ source }) => source === 'kubernetes');
    expect(inner.use.usedMs).toBe(0);
    expect(inner.usedInOthersMs).toBeGreaterThan(4_000_000);
    expect((await detail('raysubmit_K1')).usedInOthersMs).toBeGreaterThan(800_000);
    expect(outer?.use.usedMs).toBeGreaterThan(inner.usedInOthersMs);
  } finally {
    await played.close();
  }
});
