/** A site's own work is no finding where the policy covers it, and what imitates it is one. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { FindingsQuery } from '../../api/contract/findings.ts';
import { JobsQuery } from '../../api/contract/jobs.ts';
import { LedgerQuery } from '../../api/contract/ledger.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { verify } from '../../api/services/verify.ts';
import { build } from './build.ts';
import { Scenario } from './format.ts';
import { loadScenario } from './load.ts';
import { play } from './play.ts';
import { score } from './score.ts';

const AUDITOR: Caller = { name: 'test', role: 'auditor', node: null, accounts: null };
const scenarioFile = (name: string): string =>
  fileURLToPath(new URL(`../scenarios/${name}.yaml`, import.meta.url));

async function outcome(scenario: Scenario) {
  const built = build(scenario);
  const played = await play(built);
  try {
    const { queries } = played.app.services;
    const range = { from: new Date(built.startMs).toISOString(), to: new Date(built.endMs).toISOString() };
    const { total } = await queries.ledger(LedgerQuery.parse({ ...range, group_by: 'node' }));
    const { items } = await queries.findings(AUDITOR, FindingsQuery.parse({ limit: 500 }));
    const jobs = (await queries.jobs(AUDITOR, JobsQuery.parse({ source: 'policy' }))).items;
    return {
      scored: await score(built, played),
      unaccounted: total.unaccountedMs / total.capacityMs,
      sources: items.map((finding) => [finding.source.executable, finding.reason]),
      exempt: Object.fromEntries(jobs.map((job) => [job.externalId, Math.round(job.use.usedMs / 1000)])),
      verified: (await verify(played.app.store, () => {})).ok,
    };
  } finally {
    await played.close();
  }
}

describe('what the site declares is covered', () => {
  test.each(['b07', 'b08', 'b10'])('%s', async (name) => {
    const { scored, unaccounted, exempt, verified } = await outcome(loadScenario(scenarioFile(name)));
    expect(scored).toMatchObject({ conserved: true, falseAlarms: [], claimedMs: 0, wronglyUsedMs: 0 });
    expect(unaccounted).toBeLessThanOrEqual(0.001);
    expect(Object.values(exempt).every((seconds) => seconds > 30)).toBe(true);
    expect(verified).toBe(true);
  });
});

test('what imitates it is not, nor what goes on after its end', async () => {
  const unit = '0::/system.slice/nvidia-dcgm.service\n';
  const exe = '/usr/share/nvvs/nvvs';
  const work = (gpu: number) => [{ gpus: String(gpu), load: 'full' }];
  const { exempt, sources, scored } = await outcome(
    Scenario.parse({
      ...{ id: 'holes', title: 'Imitations', family: 'test', length: 1200 },
      nodes: { n1: { gpus: { count: 4 } } },
      users: { mallory: 1007 },
      policy: {
        exemptions: [
          {
            ...{ id: 'diagnosis', until: 600 },
            match: {
              executables: [exe],
              boundaries: ['systemd:/system.slice/nvidia-dcgm.service'],
              uids: [0],
            },
          },
        ],
      },
      loads: { full: { sm: 100 } },
      processes: {
        real: { exe, cgroup: unit, uses: work(0), truth: 'overhead' },
        renamed: { exe: '/home/mallory/nvvs', user: 'mallory', uses: work(1), truth: 'diverted' },
        copied: { exe, cgroup: '0::/system.slice/cron.service\n', uses: work(2), truth: 'diverted' },
        other: { exe: '/usr/share/nvvs/x', cgroup: unit, uses: work(3), truth: 'diverted' },
      },
      expect: { reasons: ['no_job'] },
    }),
  );
  expect(exempt['diagnosis']).toBe(600);
  expect(sources).toHaveLength(4);
  expect(new Set(sources.map(([path]) => path))).toEqual(
    new Set([exe, '/home/mallory/nvvs', '/usr/share/nvvs/x']),
  );
  expect(new Set(sources.map(([, reason]) => reason))).toEqual(new Set(['no_job']));
  expect(scored.conserved).toBe(true);
  expect(scored.recall).toBeGreaterThan(0.99);
});
