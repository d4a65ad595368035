/** Many declarations at once, how sources fare, and what they say of nodes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JobDetail } from '../../api/contract/jobs.ts';
import { JobsBulkOut, SOURCE_LIMITS, SourceList, SourceOut } from '../../api/contract/sources.ts';
import { CLUSTER, HOUR, handClock, MINUTE, START } from '../store/site.ts';
import { type Service, startService } from './service.ts';

const clock = handClock(START + HOUR);
const time = (ms: number) => new Date(ms).toISOString();
let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  token = await service.tokenFor('scheduler');
});
afterAll(() => service.stop());

const job = (externalId: string, more: Record<string, unknown> = {}) => ({
  ...{ source: 'slurm', sourceInstance: 'main', externalId, account: 'physics', start: time(START) },
  ...{ allocations: [{ node: 'n1', indices: [0, 1] }], attributes: { partition: 'gpu' }, ...more },
});

async function bulk(jobs: readonly unknown[], as = token) {
  const answer = await service.ask('POST', '/v1/jobs/bulk', { token: as, body: { jobs } });
  expect(answer.status).toBe(200);
  return JobsBulkOut.parse(answer.json).results;
}
const put = (path: string, body: unknown, as = token) => service.ask('PUT', path, { token: as, body });

describe('POST /v1/jobs/bulk', () => {
  test('answers each by itself, and one that is refused keeps no other back', async () => {
    const results = await bulk([
      job('1'),
      job('2', { end: 'yesterday' }),
      'no job',
      job('3', { attributes: { 'a b': 'x' } }),
      job('4', { allocations: [{ node: 'n1', devices: ['GPU-1'], indices: [0] }] }),
      job('5'),
    ]);
    expect(results.map((one) => one.result)).toEqual(['created', ...Array(4).fill('refused'), 'created']);
    expect(results.flatMap((one) => one.errors.map((error) => error.field))).toEqual([
      ...['end', '', 'attributes.a b', 'allocations.0.count'],
    ]);
    expect(results[1]?.errors[0]?.message).toContain('RFC 3339');
  });

  test('knows what is the same, what differs, and one that comes twice', async () => {
    const ended = { end: time(START + MINUTE) };
    const results = await bulk([job('1'), job('1', ended), job('6'), job('6', ended), job('6', ended)]);
    expect(results.map(({ result, version }) => `${result} ${version}`)).toEqual([
      ...['same 1', 'changed 2', 'created 1', 'changed 2', 'same 2'],
    ]);
    const detail = await service.ask('GET', `/v1/jobs/${results[2]?.id}`, { token });
    expect(JobDetail.parse(detail.json)).toMatchObject({
      ...{ externalId: '6', end: time(START + MINUTE), attributes: { partition: 'gpu' } },
      allocations: [{ devices: [], indices: [0, 1], pending: [0, 1] }],
      versions: [{ end: null }, { end: time(START + MINUTE) }],
    });
  });

  test('takes as many as it says, in more than one transaction, and not one more', async () => {
    const many = Array.from({ length: SOURCE_LIMITS.jobsPerRequest }, (_, at) => job(`many-${at}`));
    const results = await bulk(many);
    expect(results.every((one) => one.result === 'created')).toBe(true);
    expect((await bulk(many)).every((one) => one.result === 'same')).toBe(true);
    const body = { jobs: [...many, job('one-more')] };
    expect((await service.ask('POST', '/v1/jobs/bulk', { token, body })).status).toBe(400);
    expect((await service.ask('POST', '/v1/jobs/bulk', { token, body: { jobs: [] } })).status).toBe(400);
  });

  test('refuses what a token may not declare, job by job', async () => {
    const owner = await service.tokenFor('owner', { accounts: ['physics'] });
    const own = { source: 'api', sourceInstance: 'default', attributes: {} };
    const results = await bulk([job('7', own), job('8', { ...own, account: 'theory' }), job('1')], owner);
    expect(results.map((one) => one.result)).toEqual(['created', 'refused', 'refused']);
    expect(results[1]?.errors).toEqual([
      { field: 'account', message: 'this token does not declare jobs of account theory' },
    ]);
  });
});

describe('attributes', () => {
  test('have bounds: how many, how long, how much together, of which characters', async () => {
    const filled = (count: number, chars: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, 'x'.repeat(chars)]));
    const results = await bulk([
      job('b1', { attributes: filled(64, 200) }),
      job('b2', { attributes: filled(65, 1) }),
      job('b3', { attributes: filled(1, 1025) }),
      job('b4', { attributes: filled(17, 1000) }),
      job('b5', { attributes: { comment: 'two\nlines' } }),
      job('b6', { attributes: { 'label:app.kubernetes.io/name': 'trainer' } }),
    ]);
    expect(results.map((one) => one.result)).toEqual([
      ...['created', 'refused', 'refused', 'refused', 'refused', 'created'],
    ]);
  });
});

describe('sources', () => {
  const find = async () => {
    const list = SourceList.parse((await service.ask('GET', '/v1/sources', { token })).json);
    return list.items.find((one) => one.source === 'slurm' && one.sourceInstance === 'main');
  };
  const problem = (at: number) => ({
    at: time(START + at),
    subject: `job ${at}`,
    message: 'end: is no time',
  });

  test('say how they fare, since when, and what could not be used', async () => {
    const health = {
      state: 'following',
      lastSuccess: time(START + HOUR),
      problems: [problem(1)],
      problemCount: 9,
    };
    expect((await put('/v1/sources/slurm/main', { completeTo: time(START + HOUR), health })).status).toBe(
      200,
    );
    const following = await find();
    const said = await put('/v1/sources/slurm/main', { completeTo: time(START + HOUR) });
    expect(SourceOut.parse(said.json)).toEqual(following);
    expect(following?.health).toMatchObject({ ...health, since: time(START + HOUR), silent: false });
    expect(following).toMatchObject({ completeTo: time(START + HOUR), lagging: false });
    clock.set(START + HOUR + MINUTE);
    await put('/v1/sources/slurm/main', { health: { state: 'failing' } });
    expect((await find())?.health).toMatchObject({
      ...{
        state: 'failing',
        since: time(START + HOUR + MINUTE),
        lastSuccess: health.lastSuccess,
        problems: [],
      },
    });
    clock.set(START + HOUR + 20 * MINUTE);
    expect(await find()).toMatchObject({ lagging: true, health: { silent: true } });
  });

  test('refuse too much, too far, and others than schedulers', async () => {
    const many = { state: 'following', problems: Array.from({ length: 51 }, (_, at) => problem(at)) };
    expect((await put('/v1/sources/slurm/main', { health: many })).status).toBe(400);
    expect((await put('/v1/sources/slurm/main', {})).status).toBe(400);
    expect((await put('/v1/sources/run/default', { health: { state: 'stopped' } })).status).toBe(400);
    const viewer = await service.tokenFor('viewer');
    expect((await put('/v1/sources/slurm/main', { health: { state: 'stopped' } }, viewer)).status).toBe(403);
  });

  test('say why nodes have no job: once for each beginning, corrected as often as it takes', async () => {
    const path = '/v1/sources/slurm/main/conditions';
    const drained = { node: 'n1', condition: 'drained', from: time(START), reason: 'bad fan' };
    const said = async (...conditions: unknown[]) => {
      const answer = await put(path, { conditions });
      return answer.status === 200 ? answer.json : answer.status;
    };
    expect(await said(drained, { ...drained, node: 'n2' })).toEqual({ recorded: 2 });
    expect(await said(drained)).toEqual({ recorded: 0 });
    expect(await said({ ...drained, to: time(START + MINUTE) })).toEqual({ recorded: 1 });
    expect(await said({ ...drained, to: time(START - MINUTE) })).toBe(400);
    expect(await said({ ...drained, from: time(START + 9 * HOUR) })).toBe(400);
    expect(await said({ ...drained, condition: 'tired' })).toBe(400);
    // A later beginning ends the one before; one without duration says that it is so no more, and is nothing by itself.
    const again = time(START + 2 * MINUTE);
    expect(await said({ ...drained, node: 'n2', from: again })).toEqual({ recorded: 2 });
    const over = {
      ...drained,
      node: 'n2',
      from: time(START + 3 * MINUTE),
      to: time(START + 3 * MINUTE),
      reason: '',
    };
    expect(await said(over)).toEqual({ recorded: 1 });
    expect(await said(over, { ...over, condition: 'down' })).toEqual({ recorded: 0 });
  });
});
