// "n devices of a node": where they are placed, and what that touches.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Service, startService } from './service.ts';
import { device, HOUR, processFact, START, Stream, tenancy } from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService(START + HOUR);
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  await service.stop();
});

const time = (ms: number) => new Date(ms).toISOString();
const slurm = (id: string) => `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0`;

describe('"n devices of a node"', () => {
  test('is placed where the job ran first, also in the hours before that was known', async () => {
    service.clock.set(START + 5 * HOUR);
    const [first, second] = [device('n1', 0), device('n1', 1)];
    const stream = new Stream('n1');
    await service.declare({ externalId: '7', start: time(START), allocations: [{ node: 'n1', count: 1 }] });
    const idle = (hourMs: number) => [tenancy(first.uuid, hourMs, HOUR), tenancy(second.uuid, hourMs, HOUR)];
    await service.send(
      stream.batch(START, START + HOUR, { inventory: [first, second], tenancies: idle(START) }),
    );
    await service.attribution.whenIdle();
    const held = () =>
      service.rows(
        `SELECT d.uuid, sum(l.allocated_ms) AS ms, max(l.assumed) AS assumed FROM ledger_hours l
         JOIN devices d ON d.device = l.device WHERE l.holder <> 0 GROUP BY d.uuid`,
      );
    expect(held()).toEqual([{ uuid: first.uuid, ms: HOUR, assumed: 1 }]);
    const process = processFact(10, { cgroup: slurm('7') });
    await service.send(
      stream.batch(START + HOUR, START + 2 * HOUR, {
        inventory: [first, second],
        processes: [process],
        tenancies: [
          tenancy(first.uuid, START + HOUR, HOUR),
          tenancy(second.uuid, START + HOUR, HOUR, process),
        ],
      }),
    );
    await service.attribution.whenIdle();
    expect(held()).toEqual([{ uuid: second.uuid, ms: 2 * HOUR, assumed: 0 }]);
  });

  test('gives way to a device named late, in every hour that this moves, and in no other', async () => {
    service.clock.set(START + 9 * HOUR);
    const [first, second] = [device('n1', 0), device('n1', 1)];
    const stream = new Stream('n1');
    for (const hour of [0, 1, 2, 3, 4]) {
      const at = START + hour * HOUR;
      const tenancies = [tenancy(first.uuid, at, HOUR), tenancy(second.uuid, at, HOUR)];
      await service.send(stream.batch(at, at + HOUR, { inventory: [first, second], tenancies }));
    }
    const hours = (from: number, to: number) => ({
      start: time(START + from * HOUR),
      end: time(START + to * HOUR),
    });
    const one = [{ node: 'n1', count: 1 }];
    await service.declare({ externalId: 'a', ...hours(0, 2), allocations: one });
    await service.declare({ externalId: 'b', ...hours(1, 3), allocations: one });
    await service.declare({ externalId: 'c', ...hours(4, 5), allocations: one });
    await service.attribution.whenIdle();
    const places = () =>
      service
        .rows(
          `SELECT (l.hour_ms - ${START}) / ${HOUR} AS hour, j.external_id AS job, d.device_index AS place FROM ledger_hours l
           JOIN jobs j ON j.job = l.holder JOIN devices d ON d.device = l.device ORDER BY 1, 2, 3`,
        )
        .map((row) => `${row['hour']}${row['job']}${row['place']}`)
        .join(' ');
    expect(places()).toBe('0a0 1a0 1b1 2b1 4c0');
    const seqs = () => service.rows('SELECT hour_ms, max(facts_seq) AS seq FROM cells GROUP BY 1 ORDER BY 1');
    const before = seqs();
    await service.declare({
      ...{ externalId: 'd', ...hours(0, 1) },
      allocations: [{ node: 'n1', devices: [first.uuid] }],
    });
    await service.attribution.whenIdle();
    // What "a" gives up it takes from "b", two hours further on.
    expect(places()).toBe('0a1 0d0 1a1 1b0 2b0 4c0');
    expect(seqs().map((row, hour) => row['seq'] !== before[hour]?.['seq'])).toEqual([
      ...[true, true, true, false, false],
    ]);
  });
});
