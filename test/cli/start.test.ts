/** `gpuledger start`: service and local agent together, stopped in order, going on where they were. */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NodeList, type NodeOut } from '../../api/contract/fleet.ts';
import { type Running, start, until } from './gpuledger.ts';

const folder = mkdtempSync(join(tmpdir(), 'gpuledger-start-'));
const data = join(folder, 'data');
/** No tool there: what a machine without a driver looks like. */
const environment = { GPULEDGER_NODE: 'here', GPULEDGER_NVIDIA_SMI: '/nonexistent/nvidia-smi' };

async function launch(): Promise<{ running: Running; node: () => Promise<NodeOut | null> }> {
  // Relative to where it is started, which is not where it is installed.
  const running = start(['start', '--data', 'data', '--port', '0'], environment, folder);
  await until(() => running.stdout().includes('npm run demo'));
  const url = /http:\/\/[^/]+/.exec(running.stdout())?.[0] ?? '';
  const headers = { authorization: `Bearer ${readFileSync(join(data, 'cli-token'), 'utf8').trim()}` };
  return {
    running,
    node: async () =>
      NodeList.parse(await (await fetch(`${url}/v1/nodes`, { headers })).json()).items[0] ?? null,
  };
}

test('says where to sign in, shows the node without GPUs, stops in order, and goes on', async () => {
  const first = await launch();
  expect(first.running.stdout().trim().split('\n')).toHaveLength(2);
  expect(first.running.stdout()).toMatch(/sign-in\?code=.*\n.*nvidia-smi is missing.*npm run demo\n$/);
  await until(async () => (await first.node()) !== null);
  const before = await first.node();
  expect(before).toMatchObject({ name: 'here', devices: 0, agent: { silent: false } });
  first.running.child.kill('SIGTERM');
  const ended = await first.running.ended;
  expect(ended.code).toBe(0);
  // The agent sent its last batch and ended before the service did.
  expect(ended.stderr).toMatch(/stopping the agent[\s\S]*the last batch goes out[\s\S]*stopped/);
  expect(ended.stderr).not.toMatch(/\n\s+at /);

  const second = await launch();
  await until(async () => ((await second.node())?.agent?.seq ?? 0) > (before?.agent?.seq ?? 0));
  // The same installation of the agent, not a new one.
  expect((await second.node())?.agent?.stream).toBe(before?.agent?.stream);
  second.running.child.kill('SIGINT');
  expect((await second.running.ended).code).toBe(0);
}, 120_000);

/** Who works in the agent's spool folder; it says so in a file there. */
const LOCK = join(data, 'agent-spool', 'agent.lock');

test('killed: its agent does not stay behind, and starting again goes on', async () => {
  const killed = await launch();
  await until(() => existsSync(LOCK));
  const before = (await killed.node())?.agent;
  const orphan = Number.parseInt(readFileSync(LOCK, 'utf8'), 10);
  expect(existsSync(`/proc/${orphan}`)).toBe(true);
  killed.running.child.kill('SIGKILL');
  await until(() => !existsSync(`/proc/${orphan}`));

  const next = await launch();
  await until(async () => ((await next.node())?.agent?.seq ?? 0) > (before?.seq ?? 0));
  expect((await next.node())?.agent?.stream).toBe(before?.stream);
  expect(next.running.stderr()).not.toContain('another agent');
  next.running.child.kill('SIGTERM');
  expect((await next.running.ended).code).toBe(0);
}, 120_000);
