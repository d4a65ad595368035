// What seldom happens to a node: crowds, names that change, a disk that only does not sync, a service that is very slow.
import { once } from 'node:events';
import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BatchResponse } from '../../api/contract/batch.ts';
import { tokenReader } from '../../collector/cli/token.ts';
import { readConfig } from '../../collector/config.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { ShipError } from '../../collector/ports.ts';
import type { FakeDevice } from '../collector/agent-fixture.ts';
import { agentOf } from '../store/site.ts';
import { errno, FaultSite, NODE, POLL_MS } from './site.ts';

let site: FaultSite;
beforeEach(() => {
  site = new FaultSite();
});
afterEach(async () => {
  expect(await site.differences()).toEqual([]);
  await site.close();
});

const UUID = 'GPU-abcdef00-aaaa-4bbb-8ccc-ddddeeeeffff';
function work(...pids: number[]): void {
  const gpu: FakeDevice = { uuid: UUID, percent: 100, processes: pids.map((pid) => ({ pid })) };
  site.node.devices = [gpu];
  for (const pid of pids) site.node.proc.put({ pid, comm: 'train' });
}
const sum = (booked: Record<string, number>): number => Object.values(booked).reduce((a, b) => a + b, 0);

it('8,000 processes with pids of seven digits: the GPU is booked, and each of its processes is known', async () => {
  // One folder under 8,000 names: as many as the agent sees and opens, and not as many files to write.
  site.node.proc.put({ pid: 4_000_000, comm: 'many', cgroup: '0::/system.slice/many.service\n' });
  for (let pid = 4_000_001; pid < 4_008_000; pid += 1)
    symlinkSync('4000000', join(site.node.proc.root, String(pid)));
  work(4_190_000, 4_190_001);
  await site.pass(8);
  await site.end();
  expect(site.booked(UUID)).toEqual({ unaccounted: 7 * POLL_MS });
  expect(site.rows('SELECT pid FROM processes ORDER BY pid').map(({ pid }) => pid)).toEqual([
    4_190_000, 4_190_001,
  ]);
});

it('no process may be started for a while (EAGAIN): tool_failed for exactly that time', async () => {
  work(4);
  await site.pass(10);
  site.faults.execute = () => async () => ({
    ...{ stdout: Buffer.alloc(0), stderr: Buffer.from('spawn nvidia-smi EAGAIN') },
    ...{ exitCode: null, failure: 'failed', durationMs: 1 },
  });
  await site.pass(4);
  site.faults.execute = null;
  await site.pass(10);
  await site.end();
  expect(site.booked(UUID)).toEqual({ unaccounted: 18 * POLL_MS, 'unobserved tool_failed': 5 * POLL_MS });
  expect(site.problems().join('\n')).toContain('EAGAIN');
});

describe('a disk that takes files and fails only to sync', () => {
  it.each([
    ['before the file has its name', false],
    ['after it has its name', true],
  ])('%s: what may not last is spool_full, nothing is there twice', async (_when, named) => {
    work(4);
    await site.pass(12);
    site.faults.files = (real) => ({
      ...real,
      writeDurably: (path, bytes) => {
        if (named) real.writeDurably(path, bytes);
        throw errno('EIO');
      },
    });
    await site.pass(12);
    if (named) site.kill();
    site.faults.files = null;
    await site.pass(24);
    await site.end();
    const booked = site.booked(UUID);
    expect(sum(booked)).toBe(47 * POLL_MS);
    const { unaccounted = 0, ...dark } = booked;
    expect(Object.keys(dark).filter((cause) => !/(agent_silent|spool_full)$/.test(cause))).toEqual([]);
    expect(unaccounted).toBeGreaterThanOrEqual(28 * POLL_MS);
    if (!named) expect(dark).toEqual({ 'unobserved spool_full': 47 * POLL_MS - unaccounted });
  });
});

it('a service that answers a minute later: the polls go on, and nothing is there twice', async () => {
  work(4);
  await site.pass(5);
  const answers: (() => void)[] = [];
  site.faults.network = (real) => ({
    send: async (request) => {
      const answer = await real.send(request);
      await new Promise<void>((resolve) => answers.push(resolve));
      return answer;
    },
  });
  const waiting = site.node.agent.ship();
  for (let poll = 0; poll < 12; poll += 1) {
    site.away(0);
    await site.node.pass(1);
    site.clock.set(site.clock.nowMs() + POLL_MS);
  }
  site.faults.network = null;
  for (const answer of answers) answer();
  await waiting;
  await site.pass(5);
  await site.end();
  expect(site.booked(UUID)).toEqual({ unaccounted: 21 * POLL_MS });
});

it('a token that is refused and then replaced in its file: all that waited arrives', async ({
  onTestFinished,
}) => {
  work(4);
  const server = createServer(async (request, response) => {
    if (request.headers.authorization !== 'Bearer glt_new') return response.writeHead(401).end();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    const answer: BatchResponse = await site.ingest.accept(agentOf(NODE), JSON.parse(text.toString()));
    return response.end(JSON.stringify(answer));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => server.close().closeAllConnections());
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const tokenFile = join(site.folder, 'token');
  writeFileSync(tokenFile, 'glt_old\n');
  const settings = readConfig({ tokenFile }, {});
  const network = createNetwork({ apiUrl: `http://127.0.0.1:${port}`, token: tokenReader(settings) });
  site.faults.network = () => network;
  await site.pass(24);
  expect(site.node.logged.filter((line) => line.includes('does not know this token'))).toHaveLength(1);
  writeFileSync(tokenFile, 'glt_new\n');
  await site.pass(24);
  await site.end();
  expect(site.booked(UUID)).toEqual({ unaccounted: 47 * POLL_MS });
  expect(site.node.logged.join('\n')).toContain('batches are being sent again');
});

it('a node that gets another name: what waits under the old one is set aside, the new one is measured', async () => {
  work(4);
  await site.pass(12);
  site.faults.network = () => ({ send: () => Promise.reject(new ShipError('down', false)) });
  await site.pass(12);
  site.rename('n2');
  site.faults.network = null;
  await site.pass(40);
  await site.end();
  const booked = site.booked(UUID);
  expect(sum(booked)).toBe(63 * POLL_MS);
  expect(Object.keys(booked).sort()).toEqual(['unaccounted', 'unobserved agent_silent']);
  expect(booked['unaccounted']).toBeGreaterThanOrEqual(50 * POLL_MS);
  expect(site.problems().join('\n')).toContain('of another cluster or node');
});

it('UUIDs in another case than in the inventory: the same device, measured all the time', async () => {
  work(4);
  await site.pass(10);
  site.faults.execute =
    (real) =>
    async (...call) => {
      const executed = await real(...call);
      const text = executed.stdout.toString();
      return {
        ...executed,
        stdout: Buffer.from(text.replaceAll(UUID, `GPU-${UUID.slice(4).toUpperCase()}`)),
      };
    };
  await site.pass(10);
  site.faults.execute = null;
  // Past the next inventory.
  await site.pass(10, 60_000);
  await site.end();
  expect(site.rows('SELECT uuid FROM devices')).toEqual([{ uuid: UUID }]);
  expect(site.booked(UUID)).toEqual({ unaccounted: 19 * POLL_MS, 'unobserved poll_late': 600_000 });
});
