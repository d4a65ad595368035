/** The runner of sources against the real service: delivery, isolation, coming back, problems, a clean end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createClient } from '../../api/cli/client.ts';
import { createSourceService } from '../../api/cli/source-service.ts';
import { JobList } from '../../api/contract/jobs.ts';
import { SourceList } from '../../api/contract/sources.ts';
import { runSources } from '../../api/schedulers/run.ts';
import { ServiceAway, type SourceService, TooMuch } from '../../api/schedulers/service.ts';
import type { Declaration, Source, SourceSink } from '../../api/schedulers/source.ts';
import { until } from '../cli/gpuledger.ts';
import { type Service, startService } from '../http/service.ts';

let service: Service;
let token: string;
let real: SourceService;
beforeEach(async () => {
  service = await startService();
  token = await service.tokenFor('scheduler');
  real = createSourceService(createClient({ url: service.url, token }));
});
afterEach(() => service.stop());

const START = Date.now() - 3_600_000;
const time = (ms: number) => new Date(ms).toISOString();
const job = (externalId: string, more: Partial<Declaration> = {}): Declaration => ({
  ...{ externalId, account: 'physics', start: time(START), allocations: [{ node: 'n1', indices: [0] }] },
  ...more,
});

type Follow = (sinceMs: number | null, sink: SourceSink, signal: AbortSignal) => Promise<void>;
const sourceOf = (instance: string, follow: Follow): Source => ({
  ...{ source: 'slurm', instance, follow },
  check: async () => [],
});
const forEver = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

/** Runs sources until the test says stop, which waits for their end. */
function running(sources: readonly Source[], using: Partial<SourceService> = {}, secrets: string[] = []) {
  const stop = new AbortController();
  const lines: string[] = [];
  const ended = runSources(sources, {
    ...{ service: { ...real, ...using }, nowMs: () => Date.now(), signal: stop.signal, secrets },
    log: ({ instance }, message) => void lines.push(`${instance}: ${message}`),
  });
  return {
    lines,
    async stop() {
      stop.abort(new Error('told to stop'));
      await ended;
    },
  };
}

const known = async (instance: string) => {
  const { items } = SourceList.parse((await service.ask('GET', '/v1/sources', { token })).json);
  return items.find((one) => one.sourceInstance === instance);
};
const jobs = async () =>
  JobList.parse((await service.ask('GET', '/v1/jobs?limit=500', { token })).json).items;

describe('the runner', () => {
  test('delivers in bulk, and moves the watermark only when all of it is there', async () => {
    let jobsAtWatermark = -1;
    const seen: number[] = [];
    const many = Array.from({ length: 1201 }, (_, at) => job(`j${at}`));
    const run = running(
      [
        sourceOf('main', async (_since, sink, signal) => {
          // Nobody awaits: the order in which it was said holds all the same.
          void sink.declare(many);
          void sink.declare(many);
          await sink.complete(START + 1000);
          await forEver(signal);
        }),
      ],
      {
        declare: (part, signal) => {
          seen.push(part.length);
          return real.declare(part, signal);
        },
        complete: async (name, toMs, signal) => {
          jobsAtWatermark = (await known('main'))?.jobs ?? -1;
          await real.complete(name, toMs, signal);
        },
      },
    );
    await until(async () => (await known('main'))?.health?.state === 'following');
    expect(jobsAtWatermark).toBe(1201);
    expect(seen).toEqual([500, 500, 201]);
    expect(await known('main')).toMatchObject({ completeTo: time(START + 1000), health: { problems: [] } });
    await run.stop();
    expect((await known('main'))?.health?.state).toBe('stopped');
  });

  test('starts one that fails again, from where the service is, and the others go on', async () => {
    const starts: (number | null)[] = [];
    const run = running(
      [
        sourceOf('sick', async (sinceMs, sink, signal) => {
          starts.push(sinceMs);
          if (starts.length === 1) {
            await sink.complete(START + 5000);
            throw new Error('http://me:pass@host failed with the token s3cr3t-s3cr3t');
          }
          await forEver(signal);
        }),
        sourceOf('well', async (_since, sink, signal) => {
          while (starts.length < 2) {
            await sink.declare([job(`w${starts.length}`)]);
            await sleep(20, undefined, { signal });
          }
          await sink.complete(START);
          await forEver(signal);
        }),
      ],
      {},
      ['s3cr3t-s3cr3t'],
    );
    await until(() => starts.length === 2);
    await until(async () => (await known('well'))?.health?.state === 'following');
    expect(starts).toEqual([null, START + 5000]);
    expect(await known('sick')).toMatchObject({
      health: {
        problems: [{ subject: null, message: 'http://[redacted]@host failed with the token [redacted]' }],
      },
    });
    expect(run.lines.join('\n')).not.toContain('s3cr3t');
    await run.stop();
  });

  test('waits for a service that is away: nothing is lost, and no watermark goes ahead', async () => {
    let away = 2;
    const run = running(
      [
        sourceOf('main', async (_since, sink, signal) => {
          await sink.declare([job('1')]);
          await sink.complete(START);
          await forEver(signal);
        }),
      ],
      {
        declare: (part, signal) => {
          away -= 1;
          if (away > 0) throw new ServiceAway('the service does not answer');
          return real.declare(part, signal);
        },
      },
    );
    await until(async () => (await known('main'))?.health?.state === 'following');
    expect((await jobs()).map((one) => one.externalId)).toEqual(['1']);
    expect((await known('main'))?.completeTo).toBe(time(START));
    await run.stop();
  });

  test('says which jobs are refused and why, and takes the others; cuts what is too much', async () => {
    const run = running(
      [
        sourceOf('main', async (_since, sink, signal) => {
          await sink.declare([
            job('1'),
            job('2', { end: time(START - 1) }),
            job('3', { account: '' }),
            job('4'),
          ]);
          sink.problem({ subject: 'node n7', message: 'gres\u0000\n is no list' });
          sink.problem({ subject: 'node n7', message: 'gres\u0000\n is no list' });
          await sink.complete(START);
          await forEver(signal);
        }),
      ],
      {
        declare: (part, signal) => {
          if (part.length > 1) throw new TooMuch('too large');
          return real.declare(part, signal);
        },
      },
    );
    await until(async () => (await known('main'))?.health?.problemCount === 3);
    expect(
      (await known('main'))?.health?.problems.map(({ subject, message }) => `${subject}: ${message}`),
    ).toEqual([
      'node n7: gres  is no list',
      expect.stringMatching(/^job 3: the service refuses it: account /),
      'job 2: the service refuses it: end must not lie before start',
    ]);
    expect((await jobs()).map((one) => one.externalId).sort()).toEqual(['1', '4']);
    await run.stop();
  });

  test('ends what a scheduler that forgets no longer has, of its own instance only', async () => {
    const started = (instance: string, id: string) =>
      sourceOf(instance, async (_since, sink, signal) => {
        await sink.declare([job(id), job(`${id}-gone`), job(`${id}-new`, { start: time(START + 9000) })]);
        if (instance === 'main') await sink.endMissing(new Set([id]), START + 5000);
        await sink.complete(START);
        await forEver(signal);
      });
    const run = running([started('other', 'o'), started('main', 'm')]);
    await until(async () => (await known('main'))?.health?.state === 'following');
    await until(async () => (await known('other'))?.health?.state === 'following');
    await run.stop();
    const ends = (await jobs()).map((one) => `${one.externalId} ${one.end}`).sort();
    expect(ends).toEqual([
      ...['m null', `m-gone ${time(START + 5000)}`, 'm-new null', 'o null', 'o-gone null', 'o-new null'],
    ]);
  });

  test('passes conditions of nodes on', async () => {
    const condition = {
      node: 'n1',
      condition: 'drained',
      fromMs: START,
      toMs: null,
      reason: 'bad fan',
    } as const;
    const run = running([
      sourceOf('main', async (_since, sink, signal) => {
        await sink.conditions([condition]);
        await sink.complete(START);
        await forEver(signal);
      }),
    ]);
    await until(async () => (await known('main'))?.health?.state === 'following');
    const path = '/v1/sources/slurm/main/conditions';
    const again = [{ node: 'n1', condition: 'drained', from: time(START), reason: 'bad fan' }];
    expect((await service.ask('PUT', path, { token, body: { conditions: again } })).json).toEqual({
      recorded: 0,
    });
    await run.stop();
  });
});
