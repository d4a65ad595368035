/** Stopped and started again with GPUs there: the ledger goes on, and the time between is not measured. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import { createFakeNvidiaSmi } from '../fakes/nvidia-smi.ts';
import { LedgerTotal } from '../simulator/service-client.ts';
import { type Running, start, until } from './gpuledger.ts';

const HOUR_MS = 3_600_000;
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-gap-'));
const data = join(folder, 'data');
const fake = createFakeNvidiaSmi(join(folder, 'bin'));
fake.setDevices([
  { uuid: 'GPU-00000000-0000-4000-8000-000000000001', index: 0, model: 'NVIDIA H100 80GB HBM3' },
]);
const from = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;

interface Session {
  readonly running: Running;
  ledger(): Promise<z.infer<typeof LedgerTotal>['total']>;
}

async function launch(): Promise<Session> {
  const running = start(['start', '--data', data, '--port', '0'], {
    GPULEDGER_NODE: 'here',
    GPULEDGER_NVIDIA_SMI: fake.path,
    GPULEDGER_POLL: '1',
    GPULEDGER_SHIP: '5',
  });
  await until(() => running.stdout().includes('sign-in?code='));
  const url = /http:\/\/[^/]+/.exec(running.stdout())?.[0] ?? '';
  const authorization = `Bearer ${readFileSync(join(data, 'cli-token'), 'utf8').trim()}`;
  // Until the end of the next hour, should this one end meanwhile.
  const range = `from=${new Date(from).toISOString()}&to=${new Date(from + 2 * HOUR_MS).toISOString()}`;
  return {
    running,
    ledger: async () => {
      const answer = await fetch(`${url}/v1/ledger?${range}&group_by=node`, { headers: { authorization } });
      return LedgerTotal.parse(await answer.json()).total;
    },
  };
}

test('the time between two runs is not measured, and everything else is', async () => {
  const first = await launch();
  // A machine with a driver hears nothing of a missing one.
  expect(first.running.stdout().trim().split('\n')).toHaveLength(1);
  await until(async () => (await first.ledger()).idleMs > 0);
  first.running.child.kill('SIGINT');
  expect((await first.running.ended).code).toBe(0);

  const second = await launch();
  const atStart = await second.ledger();
  await until(async () => (await second.ledger()).idleMs > atStart.idleMs);
  const now = await second.ledger();
  expect(now.unobservedMs).toBeGreaterThan(atStart.unobservedMs);
  expect(now.idleMs + now.unobservedMs).toBe(now.capacityMs);
  second.running.child.kill('SIGINT');
  expect((await second.running.ended).code).toBe(0);
}, 120_000);
