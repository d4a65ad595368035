/** `verify` on several threads: real ones, each with a connection of its own to a real file. */
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createVerifyThreads } from '../../api/cli/verify-threads.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { run } from '../cli/gpuledger.ts';
import { type Service, startService } from './service.ts';
import { device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';
import { tamperEntries } from './tamper-entries.ts';

const NODES = ['n1', 'n2', 'n3'];
let service: Service;

beforeAll(async () => {
  service = startService(START + 5 * HOUR);
  for (const [index, node] of NODES.entries()) {
    const gpu = device(node, 0);
    const stream = new Stream(node);
    const process = processFact(10 + index, { cgroup: '0::/user.slice\n' });
    // The nodes have different numbers of hours, so that threads take them in another order than they come.
    for (let hour = 0; hour <= index; hour += 1) {
      const fromMs = START + hour * HOUR;
      const tenancies = [tenancy(gpu.uuid, fromMs, 30 * MINUTE, process)];
      await service.send(
        stream.batch(fromMs, fromMs + HOUR, { inventory: [gpu], processes: [process], tenancies }),
      );
    }
  }
  await service.attribution.whenIdle();
  expect(service.failures).toEqual([]);
});
afterAll(() => service.stop());

async function report(threads: number, file = service.file): Promise<VerifyReport & { hours: number }> {
  const store = openSqlite({ file: service.file, readOnly: true });
  let hours = 0;
  try {
    const onProgress = (): void => {
      hours += 1;
    };
    const own = threads > 1 ? createVerifyThreads(file, threads) : [];
    return { ...(await verify(store, onProgress, {}, own)), hours };
  } finally {
    await store.close();
  }
}

test('more threads than there are nodes give the answer of one', async () => {
  const alone = await report(1);
  expect(alone).toMatchObject({ ok: true, nodes: 3, batches: 6, chain: [], differences: [] });
  expect(await report(4)).toEqual(alone);
});

test('a difference is found and named first, whichever thread finds it', async () => {
  // On the first node and on the last.
  const move = (by: number): void =>
    service.tamper(
      tamperEntries(
        { ms: `e.ms + ${by}` },
        `e.node IN (1, 3) AND e.bucket = 'unaccounted' AND e.hour_ms = ${START}`,
      ),
    );
  move(1);
  try {
    const alone = await report(1);
    expect(alone.ok).toBe(false);
    expect(alone.differences[0]).toMatchObject({
      kind: 'tampered',
      where: expect.stringMatching(/^node n1, /),
    });
    expect(alone.differences.some(({ where }) => where.startsWith('node n3, '))).toBe(true);
    expect(await report(2)).toEqual(alone);
    const told = await run(['verify', '--data', dirname(service.file), '--threads', '2', '--json']);
    expect([told.code, told.stderr]).toEqual([1, '']);
    expect(JSON.parse(told.stdout)).toMatchObject({ ok: false, differences: alone.differences });
  } finally {
    move(-1);
  }
});

test('a thread that fails fails the whole: no answer is given without its part', async () => {
  await expect(report(2, `${service.file}.absent`)).rejects.toThrow(/there is no .*absent/);
});
