/** Findings of two nodes and two days are told as one story, each with what ranks it; another account's is not part of it. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FindingDetail, FindingsQuery } from '../../api/contract/findings.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { verify } from '../../api/services/verify.ts';
import { build } from './build.ts';
import { loadScenario } from './load.ts';
import { type Played, play } from './play.ts';

const AUDITOR: Caller = { name: 'test', role: 'auditor', node: null, accounts: null };
const FILE = fileURLToPath(new URL('../scenarios/more/series.yaml', import.meta.url));

describe('a keeper of one account, on two nodes and two days', () => {
  let played: Played;
  const found = new Map<string, FindingDetail>();

  beforeAll(async () => {
    played = await play(build(loadScenario(FILE)));
    const { queries } = played.app.services;
    const { items } = await queries.findings(AUDITOR, FindingsQuery.parse({ sort: 'rank' }));
    for (const { id } of items) {
      const finding = await queries.finding(AUDITOR, id);
      found.set(finding.source.executable ?? '', finding);
    }
  });
  afterAll(() => played.close());

  test('its findings are one series, whichever is asked', () => {
    const own = ['indexer', 'backup', 'render'].map((name) => found.get(`/home/alice/.cache/${name}`));
    const [series] = own.map((finding) => finding?.series);
    expect(new Set(own.map((finding) => finding?.series?.id)).size).toBe(1);
    expect(series).toMatchObject({ nodes: ['gpu-n1', 'gpu-n2'], value: null, rhythm: null });
    expect(series?.findings.map(({ executable, node }) => [executable, node])).toEqual([
      ['/home/alice/.cache/indexer', 'gpu-n1'],
      ['/home/alice/.cache/backup', 'gpu-n1'],
      ['/home/alice/.cache/render', 'gpu-n2'],
    ]);
    expect(series?.activeMs).toBe(own.reduce((sum, finding) => sum + (finding?.activeMs ?? 0), 0));
    expect([series?.firstSeen.slice(0, 10), series?.lastSeen.slice(0, 10)]).toEqual([
      '2026-10-05',
      '2026-10-06',
    ]);
    expect(series?.why.join('; ')).toContain('the same OS account');
    expect(own[1]?.series?.findings[0]?.why).toContain('the same file (backup, inode 7740)');
  });

  test('a colleague who runs a program of the same name is no part of it', () => {
    expect(found.get('/home/bob/render')).toMatchObject({ series: null, activeMs: expect.any(Number) });
  });

  test('signals rank each, at a severity that they did not make, and verify derives them again', async () => {
    expect(found.size).toBe(4);
    const scores = [...found.values()].map((finding) => finding.score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    for (const { score, signals, severity } of found.values()) {
      expect(severity).toBe('warn');
      const ids = signals.map(({ id }) => id);
      expect(ids.slice(0, 2)).toEqual(['undeclared', 'own_executable']);
      expect(score).toBe(signals.reduce((sum, { weight, strength }) => sum + (weight * strength) / 100, 0));
    }
    expect((await verify(played.app.store, () => {})).differences).toEqual([]);
  });

  test('an owner of an account sees neither the findings nor the series', async () => {
    const owner: Caller = { ...AUDITOR, role: 'owner', accounts: ['other'] };
    const [finding] = found.values();
    await expect(played.app.services.queries.finding(owner, finding?.id ?? '')).rejects.toThrow('no finding');
  });
});
