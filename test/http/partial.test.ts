/** Declarations by those who know a part: a node's prolog, and accounting after the end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JobOut } from '../../api/contract/jobs.ts';
import { CLUSTER, HOUR, handClock, MINUTE, START } from '../store/site.ts';
import { type Service, startService } from './service.ts';

const time = (ms: number) => new Date(ms).toISOString();
let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ clock: handClock(START + HOUR), cluster: CLUSTER });
  token = await service.tokenFor('scheduler');
});
afterAll(() => service.stop());

async function declare(externalId: string, more: Record<string, unknown>) {
  const body = {
    ...{
      source: 'slurm',
      sourceInstance: 'lab',
      externalId,
      account: 'physics',
      start: time(START),
      ...more,
    },
  };
  const answer = await service.ask('POST', '/v1/jobs', { token, body });
  expect([200, 201]).toContain(answer.status);
  return JobOut.parse(answer.json);
}

test('each node says its own devices, and accounting does not unsay them', async () => {
  await declare('1', { partial: true, uid: 1000, allocations: [{ node: 'n1', indices: [2, 3] }] });
  const both = await declare('1', { partial: true, allocations: [{ node: 'n2', indices: [0] }] });
  expect(both.allocations.map((one) => [one.node, one.indices])).toEqual([
    ['n1', [2, 3]],
    ['n2', [0]],
  ]);
  const left = { node: 'n1', indices: [2, 3], end: time(START + MINUTE) };
  await declare('1', { partial: true, allocations: [left] });
  const ended = await declare('1', {
    ...{ partial: true, end: time(START + 2 * MINUTE), name: 'train', attributes: { qos: 'high' } },
    allocations: [
      { node: 'n1', count: 2 },
      { node: 'n2', count: 1 },
    ],
  });
  expect(ended).toMatchObject({ uid: 1000, name: 'train', end: time(START + 2 * MINUTE) });
  expect(ended.allocations.map((one) => [one.node, one.indices, one.end])).toEqual([
    ['n1', [2, 3], time(START + MINUTE)],
    ['n2', [0], null],
  ]);
});

test('a late prolog opens nothing again', async () => {
  const whole = { uid: 1000, name: 'train', attributes: { partition: 'gpu' } };
  const end = { end: time(START + MINUTE) };
  await declare('2', { ...whole, ...end, allocations: [{ node: 'n1', indices: [1] }] });
  const late = await declare('2', { partial: true, allocations: [{ node: 'n1', indices: [1] }] });
  expect(late).toMatchObject({ ...whole, ...end, version: 1 });
});

test('another number of devices is news, and a whole declaration is one', async () => {
  await declare('3', { user: 'ann', allocations: [{ node: 'n1', indices: [1, 2] }] });
  const fewer = await declare('3', { partial: true, allocations: [{ node: 'n1', count: 1 }] });
  expect(fewer.allocations).toMatchObject([{ count: 1, indices: null }]);
  const whole = await declare('3', { allocations: [{ node: 'n2', count: 1 }] });
  expect(whole).toMatchObject({ user: null, allocations: [{ node: 'n2' }] });
});
