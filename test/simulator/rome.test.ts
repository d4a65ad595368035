/** Ten hours of an ordinary site, then the demo's story: one computing stranger is found, and nobody else is accused. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Finding, FindingList } from '../../api/contract/findings.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { createFeed } from './feed.ts';
import { createHistory } from './history.ts';
import { createServiceClient, Ignored, LedgerTotal } from './service-client.ts';
import { type ServiceProcess, startServiceProcess } from './service-process.ts';
import { createSite } from './site.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const END_MS = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
const START_MS = Math.floor((END_MS - 11 * HOUR_MS) / HOUR_MS) * HOUR_MS;
const DIVERTED_MS = END_MS - 20 * MINUTE_MS;

const site = createSite({ seed: 5, nodes: 5, startMs: START_MS, endMs: END_MS });
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-rome-'));
let service: ServiceProcess;
let findings: Finding[] = [];

beforeAll(async () => {
  service = await startServiceProcess({
    ...{ dataFolder: folder, cluster: site.cluster, port: 0 },
    tokens: [
      { name: 'admin', role: 'admin', node: null },
      { name: 'scheduler', role: 'scheduler', node: null },
      ...site.fleet.map(({ name }) => ({ name, role: 'agent', node: name }) as const),
    ],
  });
  const admin = createServiceClient(service.url, service.token('admin'));
  await admin.send('PUT', '/v1/fleet', Ignored, site.groups);
  site.rome.divert(site.random, site.pids, DIVERTED_MS);
  const history = createHistory({
    ...{ cluster: site.cluster, nodes: site.fleet, startMs: START_MS },
    feed: createFeed(site.jobs, createServiceClient(service.url, service.token('scheduler'))),
    networkOf: ({ name }) => createNetwork({ apiUrl: service.url, token: () => service.token(name) }),
  });
  await history.advance(END_MS);
  await history.stop();
  const range = `from=${new Date(START_MS).toISOString()}&to=${new Date(END_MS).toISOString()}`;
  await vi.waitFor(
    async () => {
      const { complete } = await admin.send('GET', `/v1/ledger?${range}`, LedgerTotal);
      expect(complete.pendingCells).toBe(0);
    },
    { timeout: 20_000 },
  );
  findings = (await admin.send('GET', '/v1/findings', FindingList)).items;
});
afterAll(async () => {
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('the foreign process inside the declared job is the only computing finding', () => {
  const computing = findings.filter(({ kind }) => kind === 'compute');
  expect(computing).toHaveLength(1);
  expect(computing[0]).toMatchObject({
    ...{ node: site.rome.node.name, reason: 'foreign_in_job', state: 'settled', running: true },
    source: { executable: '/workspace/task-0417/miner', user: 'rlagent' },
    insideJob: { externalId: '8101', account: 'agents-lab' },
  });
  expect(computing[0]?.devices.map(({ index }) => index)).toEqual([6, 7]);
  // Two devices since the diversion; the first poll that saw it may be a minute late, and flat load is 98 %.
  const truthMs = 2 * (END_MS - DIVERTED_MS);
  expect(computing[0]?.activeMs).toBeGreaterThan(truthMs * 0.98 - 2 * 2 * MINUTE_MS);
  expect(computing[0]?.activeMs).toBeLessThanOrEqual(truthMs);
});

test('the tunnel and the scan beside it are findings of the same node, with no GPU time', () => {
  const network = findings.filter(({ kind }) => kind === 'network');
  expect(network.map(({ source }) => source.executable)).toContain('/usr/bin/ssh');
  for (const finding of network)
    expect(finding).toMatchObject({
      node: site.rome.node.name,
      activeMs: 0,
      insideJob: { externalId: '8101' },
    });
});
