// What schedulers say of nodes is the reason of their idle and not measured time, to the millisecond.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConditionsIn } from '../../api/contract/sources.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from './service.ts';
import { caller, device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService(START + 3 * HOUR);
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  const store = openSqlite({ file: service.file, readOnly: true });
  const report = await verify(store, () => undefined);
  await store.close();
  expect(report).toMatchObject({ ok: true, differences: [], chain: [] });
  await service.stop();
});

const time = (ms: number) => new Date(ms).toISOString();
const MAIN = { source: 'slurm', sourceInstance: 'main' };

async function say(condition: string, from: number, to: number | null, instance = 'main') {
  const said = { node: 'n1', condition, from: time(START + from), to: to === null ? null : time(START + to) };
  const { conditions } = ConditionsIn.parse({ conditions: [{ ...said, reason: 'bad fan' }] });
  const name = { ...MAIN, sourceInstance: instance };
  const recorded = await service.declarations.putConditions(caller('scheduler'), name, conditions);
  await service.attribution.whenIdle();
  return recorded;
}

/** GPU 0 idles for half an hour and is not measured then; GPU 1 executes without a job all the time. */
async function observe() {
  const [idle, busy] = [device('n1', 0), device('n1', 1)];
  const process = processFact(9);
  await service.send(
    new Stream('n1').batch(START, START + HOUR, {
      inventory: [idle, busy],
      processes: [process],
      tenancies: [tenancy(idle.uuid, START, 30 * MINUTE), tenancy(busy.uuid, START, HOUR, process)],
      gaps: [
        {
          device: idle.uuid,
          fromMs: START + 30 * MINUTE,
          toMs: START + HOUR,
          reason: 'tool_failed',
          detail: '',
        },
      ],
    }),
  );
  await service.attribution.whenIdle();
}

const explained = () =>
  service
    .rows('SELECT bucket, condition, sum(ms) AS ms FROM entries GROUP BY 1, 2 ORDER BY 1, 2')
    .map((row) => `${row['bucket']} ${row['condition']} ${Number(row['ms'])}`);

describe('conditions of a node', () => {
  test('divide its idle and not measured time, and nothing else', async () => {
    await observe();
    const before = ['idle null 1800000', 'unaccounted null 3600000', 'unobserved null 1800000'];
    expect(explained()).toEqual(before);
    expect(await say('drained', 10 * MINUTE + 1, 40 * MINUTE + 7)).toBe(1);
    expect(explained()).toEqual([
      ...[`idle null ${10 * MINUTE + 1}`, `idle drained ${20 * MINUTE - 1}`],
      ...['unaccounted null 3600000'],
      ...[`unobserved null ${20 * MINUTE - 7}`, `unobserved drained ${10 * MINUTE + 7}`],
    ]);
  });

  test('a correction counts, and that it is over', async () => {
    await observe();
    await say('drained', 0, null);
    expect(explained()).toEqual([
      ...['idle drained 1800000', 'unaccounted null 3600000', 'unobserved drained 1800000'],
    ]);
    await say('drained', 0, 0);
    expect(explained()).toEqual([
      ...['idle null 1800000', 'unaccounted null 3600000', 'unobserved null 1800000'],
    ]);
    expect(service.rows('SELECT count(*) AS versions FROM node_conditions')).toEqual([{ versions: 2 }]);
  });

  test('the gravest of several is the reason, whoever says it; what is said before the node is known counts too', async () => {
    await say('reserved', 0, null);
    await say('down', 45 * MINUTE, null, 'other');
    await observe();
    expect(explained()).toEqual([
      ...['idle reserved 1800000', 'unaccounted null 3600000'],
      ...[`unobserved down ${15 * MINUTE}`, `unobserved reserved ${15 * MINUTE}`],
    ]);
  });
});
