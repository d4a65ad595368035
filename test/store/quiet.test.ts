// What only goes on with what was there may wait for more of the same; nothing else waits.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BatchBody } from '../../api/contract/batch.ts';
import { type Service, startService } from './service.ts';
import { device, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

const QUIET_MS = 20_000;
const POST_MS = 10_000;

let service: Service;
let stream: Stream;
let atMs: number;
const gpu = device('n1', 0);
const process = processFact(11);

async function send(more: Partial<BatchBody> = {}): Promise<void> {
  const tenancies = [tenancy(gpu.uuid, atMs, POST_MS, process)];
  await service.send(stream.batch(atMs, atMs + POST_MS, { tenancies, ...more }));
  atMs += POST_MS;
  service.clock.set(atMs);
}

const due = async (): Promise<number> =>
  (await service.store.ledger.listDirty(service.clock.nowMs(), QUIET_MS, 10)).length;

beforeEach(async () => {
  service = startService();
  stream = new Stream('n1');
  atMs = START;
  await send({ inventory: [gpu], processes: [process] });
});
afterEach(() => service.stop());

test('the first of an hour, which tells who is there, is done at once', async () => {
  expect(await due()).toBe(1);
});

test('more of the same waits, no longer than it may, and is all there in the end', async () => {
  await service.attribution.whenIdle();
  await send();
  expect(await due()).toBe(0);
  await send();
  expect(await due()).toBe(1);
  expect(await service.store.ledger.countDirty(service.clock.nowMs())).toEqual({ due: 1, failed: 0 });
  await service.attribution.whenIdle();
  expect(service.rows('SELECT sum(ms) AS ms FROM entries')).toEqual([{ ms: 3 * POST_MS }]);
});

test('what is complete stays what is computed while something waits', async () => {
  await service.attribution.whenIdle();
  const before = await service.store.ledger.readCompleteToMs();
  await send();
  expect(await service.store.ledger.readCompleteToMs()).toBe(before);
});

test('another process, a gap, and a clock that was set back wait for nothing', async () => {
  await service.attribution.whenIdle();
  await send();
  await send({ tenancies: [tenancy(gpu.uuid, atMs, POST_MS, processFact(12))] });
  expect(await due()).toBe(1);
  await service.attribution.whenIdle();
  await send({
    gaps: [{ device: null, fromMs: atMs, toMs: atMs + 1, reason: 'agent_stopped', detail: '' }],
  });
  expect(await due()).toBe(1);
  await service.attribution.whenIdle();
  await send();
  service.clock.set(START);
  expect(await due()).toBe(1);
});

test('nothing waits near the start or the end of a job', async () => {
  const end = new Date(START + MINUTE).toISOString();
  await service.declare({
    ...{ externalId: '7', user: null, start: new Date(START).toISOString(), end },
    allocations: [{ node: 'n1' }],
  });
  await service.attribution.whenIdle();
  await send();
  expect(await due()).toBe(1);
});
