// What an API should never say, and says.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeKubernetes } from './kubernetes-api.ts';
import { newUid } from './kubernetes-objects.ts';
import { KubernetesSite, until } from './kubernetes-site.ts';
import { jobOf, type RecordingSink } from './recording-sink.ts';

let site: KubernetesSite;
let cluster: FakeKubernetes;
let sink: RecordingSink;

beforeEach(async () => {
  site = new KubernetesSite();
  ({ cluster, sink } = site);
  await site.start();
});
afterEach(() => site.end());

describe('what is of another form than it should be', () => {
  test('is told, and the good ones are kept', async () => {
    site.put({ name: 'bad-count', gpus: 'Infinity' });
    site.put({ name: 'bad-sign', gpus: -1 });
    site.put({ name: 'bad-type', gpus: { count: 1 } });
    site.put({ name: 'bad-start', gpus: '1', startTime: '2026-11-23T10:00:02' });
    site.put({ name: 'bad-end', gpus: '1', finishedAt: '2026-11-22T10:00:00Z' });
    cluster.put('/api/v1/namespaces/team-a/pods/no-uid', {
      metadata: { name: 'no-uid', namespace: 'team-a', uid: 7 },
      spec: { nodeName: 'gpu-n1' },
    });
    cluster.put('/api/v1/namespaces/team-a/pods/no-name', {
      metadata: { uid: newUid() },
      spec: 'none',
      status: [],
    });
    site.put({ name: 'number', gpus: 2 });
    site.put({ name: `forged\n|999|`, gpus: '1', labels: { [`team\u0000`]: 'x\u0000y', n: 5 } });
    site.follow();
    await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
    const names = [...sink.jobs.values()].map((job) => job.attributes['pod']).sort();
    expect(names).toEqual(['bad-end', 'bad-start', 'forged?|999|', 'number']);
    expect(jobOf(sink, 'number').allocations).toMatchObject([{ count: 2 }]);
    // The time with no zone is none; when the container began stands in its place.
    expect(jobOf(sink, 'bad-start').start).toBe('2026-11-23T10:00:07.000Z');
    expect(Date.parse(jobOf(sink, 'bad-end').end ?? '')).toBeGreaterThanOrEqual(
      Date.parse('2026-11-23T10:00:02Z'),
    );
    const told = sink.problems.map(({ subject, message }) => `${subject} ${message}`);
    for (const name of ['bad-count', 'bad-sign', 'bad-type', 'bad-end', 'no-uid'])
      expect(told.some((line) => line.includes(`team-a/${name} `))).toBe(true);
  });

  test('a list or an object of another type is told, and costs what stands in it', async () => {
    site.put({ name: 'good', gpus: '1' });
    const odd = (name: string, metadata: object, containers: unknown) =>
      cluster.put(`/api/v1/namespaces/team-a/pods/${name}`, {
        metadata: { name, namespace: 'team-a', uid: newUid(), ...metadata },
        spec: { nodeName: 'gpu-n1', containers },
        status: { phase: 'Running', startTime: '2026-11-23T10:00:02Z' },
      });
    odd('odd-labels', { labels: ['team'], annotations: 'none' }, [{ name: 'main' }]);
    odd('odd-containers', {}, { main: { resources: { limits: { 'nvidia.com/gpu': '1' } } } });
    site.follow();
    await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
    expect([...sink.jobs.values()].map((job) => job.attributes['pod']).sort()).toEqual([
      'good',
      'odd-containers',
      'odd-labels',
    ]);
    expect(sink.problems.map(({ subject, message }) => `${subject} ${message.split(':')[0]}`).sort()).toEqual(
      [
        'team-a/odd-containers spec.containers is no list',
        'team-a/odd-labels metadata.annotations is no object',
        'team-a/odd-labels metadata.labels is no object',
      ],
    );
  });

  test('a pod that can no longer be understood has not ended', async () => {
    site.put({ name: 'llm-0', gpus: '1' });
    site.follow();
    await until(() => expect(sink.jobs.size).toBe(1));
    site.put({ name: 'llm-0', uid: jobOf(sink, 'llm-0').externalId, gpus: 'many' });
    cluster.forget();
    cluster.cut();
    await until(() => expect(site.lists).toBeGreaterThan(1));
    await until(() => expect(sink.problems.length).toBeGreaterThan(0));
    expect(jobOf(sink, 'llm-0').end).toBeNull();
  });
});
