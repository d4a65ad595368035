import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ShipError } from '../../collector/ports.ts';
import { seededRandom } from '../../collector/random.ts';
import { createShipper, LAST_RETRY_MS } from '../../collector/shipper.ts';
import type { Spool } from '../../collector/spool.ts';
import { batchAt, faultyFiles, numbersOf, open, StandInService, temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
let service: StandInService;
let nowMs = 0;
const UNSIGNED = { sign: <T>(batch: T): T => batch };
const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined };
const shipperOf = (spool: Spool) =>
  createShipper(spool, { network: service, clock }, seededRandom('test'), UNSIGNED);

beforeEach(() => {
  folder = temporaryFolder();
  service = new StandInService();
  nowMs = 0;
});
afterEach(() => folder.remove());

function fill(spool: Spool, from: number, to: number): void {
  for (let number = from; number <= to; number += 1)
    expect(spool.append(batchAt(spool.head(), number))).toEqual({ ok: true });
}
const oneTo = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i + 1));

describe('the shipper', () => {
  it('sends everything in order, at most 64 a request, and empties the spool', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 130);
    await shipperOf(spool).ship();
    expect(numbersOf(service.stored)).toEqual(oneTo(130));
    expect(service.requests).toBe(3);
    expect(spool.count()).toBe(0);
  });

  it('shares one run between calls at the same time', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 3);
    const shipper = shipperOf(spool);
    await Promise.all([shipper.ship(), shipper.ship()]);
    expect(service.requests).toBe(1);
  });

  it('sends again what lost its answer, and nothing is stored twice', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 3);
    const shipper = shipperOf(spool);
    service.loseAnswer = true;
    await shipper.ship();
    expect(spool.count()).toBe(3);
    expect(shipper.failure()).toContain('the connection broke');
    service.loseAnswer = false;
    fill(spool, 4, 4);
    await shipper.ship();
    expect(numbersOf(service.stored)).toEqual(oneTo(4));
    expect(spool.count()).toBe(0);
    expect(shipper.failure()).toBeNull();
  });

  it('backs off from a second to a minute, jittered, and at once to a minute when it cannot help to retry', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 1);
    const shipper = shipperOf(spool);
    service.refusal = new ShipError('down', false);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      expect(shipper.due()).toBe(true);
      await shipper.ship();
      const sinceMs = nowMs;
      while (!shipper.due()) nowMs += 10;
      waits.push(nowMs - sinceMs);
    }
    for (const [i, wait] of waits.entries()) {
      const fullMs = Math.min(LAST_RETRY_MS, 1000 * 2 ** i);
      expect(wait).toBeGreaterThanOrEqual(fullMs / 2);
      expect(wait).toBeLessThanOrEqual(fullMs + 10);
    }
    service.refusal = new ShipError('HTTP 401: the service does not know this token', true);
    await shipper.ship();
    const sinceMs = nowMs;
    while (!shipper.due()) nowMs += 10;
    expect(nowMs - sinceMs).toBeGreaterThanOrEqual(LAST_RETRY_MS / 2);
    expect(shipper.failure()).toBe('HTTP 401: the service does not know this token');
    service.refusal = null;
    await shipper.ship();
    expect(spool.count()).toBe(0);
    expect(shipper.due()).toBe(false);
  });

  it('starts a new stream when the service lost batches that are gone here', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 4);
    await shipperOf(spool).ship();
    const first = spool.head().stream;
    // The service was restored from a backup that ends after the second batch.
    service.streams.set(first, (service.streams.get(first) ?? []).slice(0, 2));
    fill(spool, 5, 6);
    await shipperOf(spool).ship();
    expect(spool.head().stream).not.toBe(first);
    expect(numbersOf(service.streams.get(spool.head().stream) ?? [])).toEqual(['5', '6']);
    expect(spool.count()).toBe(0);
  });

  it('sends from where the service is when it still has that', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 6);
    const stored = spool.oldest(3, 1e9);
    await service.send({ batches: stored });
    await shipperOf(spool).ship();
    expect(numbersOf(service.stored)).toEqual(oneTo(6));
    expect(service.quarantined).toEqual([]);
  });

  it('leaves a stream that has diverged', async () => {
    const spool = open(folder.path);
    fill(spool, 1, 1);
    // Another agent was started from a copy of this one's folder.
    const { stream, nextSeq, lastHash } = spool.head();
    const other = batchAt({ stream, nextSeq, lastHash }, 99);
    await service.send({ batches: [...spool.oldest(1, 1e9), other] });
    fill(spool, 2, 3);
    await shipperOf(spool).ship();
    expect(numbersOf(service.quarantined)).toEqual(['2', '3']);
    fill(spool, 4, 5);
    await shipperOf(spool).ship();
    expect(spool.head().stream).not.toBe(stream);
    expect(numbersOf(service.streams.get(spool.head().stream) ?? [])).toEqual(['4', '5']);
  });

  it('does not ask again in a tight loop when the service and a refusing disk leave no way on', async () => {
    const disk = faultyFiles();
    const spool = open(folder.path, disk);
    fill(spool, 1, 2);
    await shipperOf(spool).ship();
    service.streams.clear();
    fill(spool, 3, 3);
    disk.readOnly = true;
    const shipper = shipperOf(spool);
    const before = service.requests;
    await shipper.ship();
    expect(service.requests).toBe(before + 1);
    expect(shipper.due()).toBe(false);
    expect(shipper.failure()).toContain('new one cannot be written');
  });
});
