import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeKubernetes } from './kubernetes-api.ts';
import { newUid, node, pod } from './kubernetes-objects.ts';
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

test('pods that are there and that come are declared with what they asked for and what they run', async () => {
  site.put({
    name: 'llm-0',
    gpus: '4',
    command: ['python', 'train.py', '--out', '$(OUT)', '--lr', '1'],
    labels: { team: 'nlp' },
  });
  site.follow();
  await until(() => expect(sink.jobs.size).toBe(1));
  const job = jobOf(sink, 'llm-0');
  expect(job).toMatchObject({
    source: 'kubernetes',
    account: 'team-a',
    user: null,
    name: 'Pod llm-0',
    start: '2026-11-23T10:00:02.000Z',
    end: null,
    allocations: [{ node: 'gpu-n1', count: 4, share: 1 }],
    image: 'registry.example/llm:4',
    entrypoint: ['python', 'train.py'],
    attributes: { namespace: 'team-a', pod: 'llm-0', node: 'gpu-n1', 'label:team': 'nlp' },
  });
  expect(job.boundaries).toEqual([`kubernetes:${job.externalId}`, `container:${'ab'.repeat(32)}`]);
  site.put({ name: 'llm-1', gpus: '2' });
  await until(() => expect(jobOf(sink, 'llm-1').allocations).toMatchObject([{ count: 2 }]));
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
});

test('a pod that asked for none is declared with no device on a node with GPUs, and elsewhere passed over', async () => {
  const container = {
    name: 'main',
    env: [
      { name: 'NVIDIA_VISIBLE_DEVICES', value: 'all' },
      { name: 'KEY', value: 'secret' },
    ],
  };
  site.put({
    name: 'web-0',
    spec: { containers: [{ ...container, securityContext: { privileged: true } }] },
  });
  site.put({ name: 'web-1', node: 'cpu-n1' });
  site.put({ name: 'web-2', node: 'unheard-of' });
  site.follow();
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
  expect([...sink.jobs.values()].map((job) => [job.attributes['pod'], job.allocations])).toEqual([
    ['web-0', []],
  ]);
  expect(jobOf(sink, 'web-0').attributes).toMatchObject({ privileged: 'yes', visibleDevices: 'all' });
  expect(JSON.stringify(jobOf(sink, 'web-0'))).not.toContain('secret');
  // The node turns out to have GPUs: what was passed over is declared after all.
  cluster.put('/api/v1/nodes/cpu-n1', node('cpu-n1', { gpus: 1 }));
  await until(() => expect(jobOf(sink, 'web-1').allocations).toEqual([]));
});

describe('a pod ends', () => {
  test('when its containers did, as long as it is listed and after it is gone', async () => {
    site.put({ name: 'batch-0', gpus: '1' });
    site.follow();
    await until(() => expect(jobOf(sink, 'batch-0').end).toBeNull());
    site.put({
      name: 'batch-0',
      uid: jobOf(sink, 'batch-0').externalId,
      gpus: '1',
      finishedAt: '2026-11-23T11:30:00Z',
    });
    await until(() => expect(jobOf(sink, 'batch-0').end).toBe('2026-11-23T11:30:00.000Z'));
    cluster.remove('/api/v1/namespaces/team-a/pods/batch-0');
    site.put({ name: 'batch-1', gpus: '1' });
    await until(() => jobOf(sink, 'batch-1'));
    expect(jobOf(sink, 'batch-0').end).toBe('2026-11-23T11:30:00.000Z');
  });

  test('when the API let it go, though its containers still claim to run', async () => {
    site.put({ name: 'killed-0', gpus: '1' });
    site.put({ name: 'evicted-0', gpus: '1' });
    site.follow();
    await until(() => expect(sink.jobs.size).toBe(2));
    const { externalId: uid } = jobOf(sink, 'killed-0');
    cluster.remove(
      '/api/v1/namespaces/team-a/pods/killed-0',
      pod({ name: 'killed-0', uid, gpus: '1', deletionTimestamp: '2026-11-23T12:00:30Z' }),
    );
    await until(() => expect(jobOf(sink, 'killed-0').end).toBe('2026-11-23T12:00:30.000Z'));
    site.put({
      name: 'evicted-0',
      uid: jobOf(sink, 'evicted-0').externalId,
      gpus: '1',
      phase: 'Failed',
      status: {
        containerStatuses: [],
        conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: '2026-11-23T12:10:00Z' }],
      },
    });
    await until(() => expect(jobOf(sink, 'evicted-0').end).toBe('2026-11-23T12:10:00.000Z'));
  });

  test('of which neither containers nor conditions say when: once for all', async () => {
    const over = { containerStatuses: undefined, reason: 'Evicted', message: 'The node was low on memory.' };
    const evicted = (name: string, uid: string, metadata = {}) => {
      const value = pod({ name, uid, gpus: '1', phase: 'Failed', status: over });
      const all = { ...value, metadata: { ...Object(value['metadata']), ...metadata } };
      cluster.put(`/api/v1/namespaces/team-a/pods/${name}`, all);
    };
    for (const name of ['seen-0', 'told-0']) site.put({ name, gpus: '1' });
    site.follow();
    await until(() => expect(sink.jobs.size).toBe(2));
    const [seen, told] = ['seen-0', 'told-0'].map((name) => jobOf(sink, name).externalId);
    const sinceMs = Date.now() - 60_000;
    evicted('seen-0', String(seen));
    const written = { manager: 'kubelet', subresource: 'status', time: '2026-11-23T12:20:00Z' };
    evicted('told-0', String(told), { managedFields: [written] });
    await until(() => expect(jobOf(sink, 'told-0').end).toBe('2026-11-23T12:20:00.000Z'));
    await until(() => expect(jobOf(sink, 'seen-0').end).not.toBeNull());
    const { end } = jobOf(sink, 'seen-0');
    expect(Date.parse(String(end))).toBeGreaterThan(sinceMs);
    evicted('seen-0', String(seen), { labels: { again: 'yes' } });
    await until(() => expect(jobOf(sink, 'seen-0').attributes).toMatchObject({ 'label:again': 'yes' }));
    expect(jobOf(sink, 'seen-0').end).toBe(end);
    // Nobody saw it run, and nothing says how long it did.
    evicted('unseen-0', newUid());
    await until(() => expect(jobOf(sink, 'unseen-0').end).toBe(jobOf(sink, 'unseen-0').start));
    expect(sink.problems.map(({ subject }) => subject)).toEqual(['team-a/unseen-0']);
  });

  test('when nobody watched: what the list no longer has is ended', async () => {
    site.put({ name: 'kept-0', gpus: '1' });
    site.put({ name: 'gone-0', gpus: '1' });
    site.follow();
    await until(() => expect(sink.jobs.size).toBe(2));
    const gone = jobOf(sink, 'gone-0').externalId;
    cluster.remove('/api/v1/namespaces/team-a/pods/gone-0');
    cluster.forget();
    cluster.cut();
    await until(() => expect(sink.jobs.get(gone)?.end).not.toBeNull());
    expect(jobOf(sink, 'kept-0').end).toBeNull();
  });
});

test('a watch that breaks off in a line goes on where it was, without a list', async () => {
  site.put({ name: 'llm-0', gpus: '1' });
  site.follow();
  cluster.watchMs = 20_000;
  await until(() => expect(cluster.watching).toBeGreaterThanOrEqual(2));
  expect(site.lists).toBe(1);
  cluster.cut();
  site.put({ name: 'llm-1', gpus: '1' });
  await until(() => jobOf(sink, 'llm-1'));
  expect(site.lists).toBe(1);
  expect(sink.told.filter((id) => id === jobOf(sink, 'llm-0').externalId)).toHaveLength(1);
});

test.each([
  ['no JSON', '{"type":"ADDED","object":{"metadata":\n'],
  ['no known type', '{"type":"RENAMED","object":{}}\n'],
  ['a list', '[1,2,3]\n'],
  ['nothing', 'null\n'],
])('an event that is %s is told, and the list read again', async (_, text) => {
  cluster.garbage = text;
  site.follow();
  site.put({ name: 'llm-0', gpus: '1' });
  await until(() =>
    expect(sink.problems.map(({ message }) => message).join()).toMatch(/the list is read again/),
  );
  site.put({ name: 'llm-1', gpus: '1' });
  await until(() => jobOf(sink, 'llm-1'));
  jobOf(sink, 'llm-0');
});

test('pages whose list expires meanwhile, limits of rates and failing servers are passed', async () => {
  for (let at = 0; at < 1200; at += 1) site.put({ name: `many-${at}`, gpus: '1' });
  cluster.refusals.push(
    { match: 'continue=', status: 410, times: 1 },
    { match: '/pods?', status: 429, headers: { 'retry-after': '0' }, times: 1 },
    { match: 'watch=true', status: 503, times: 1 },
  );
  site.follow();
  await until(() => expect(sink.jobs.size).toBe(1200));
  expect(sink.told.length).toBe(1200);
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
});

test('what may not be read ends the source with what mends it', async () => {
  cluster.refusals.push({ match: '/api/v1/nodes', status: 403, times: 1 });
  await expect(site.source().follow(null, sink, site.stop.signal)).rejects.toThrow(
    /403.*kubernetes-source\.yaml/,
  );
});

test('another cluster than the settings name is refused', async () => {
  await expect(site.source({ clusterUid: 'prod-uid' }).follow(null, sink, site.stop.signal)).rejects.toThrow(
    /answers for the cluster lab-uid, not for prod-uid/,
  );
  const checks = await site.source({ clusterUid: 'lab-uid' }).check(site.stop.signal);
  expect(checks.map(({ name, ok }) => [name, ok])).toEqual([
    ['configuration', true],
    ['api', true],
    ['cluster', true],
    ['nodes', true],
    ['pods', true],
  ]);
  expect([...cluster.credentials]).toEqual(['Bearer secret-token-of-the-reader']);
  expect(JSON.stringify(checks)).not.toContain('secret-token');
});

describe('whose it is', () => {
  test('is followed up to what a person made', async () => {
    const [job, cron, replicas] = [newUid(), newUid(), newUid()];
    cluster.put('/apis/batch/v1/namespaces/team-a/cronjobs/nightly', {
      kind: 'CronJob',
      metadata: { name: 'nightly', uid: cron },
    });
    cluster.put('/apis/batch/v1/namespaces/team-a/jobs/nightly-291', {
      kind: 'Job',
      metadata: {
        name: 'nightly-291',
        uid: job,
        ownerReferences: [
          { apiVersion: 'batch/v1', kind: 'CronJob', name: 'nightly', uid: cron, controller: true },
        ],
      },
    });
    site.put({
      name: 'nightly-291-x7',
      gpus: '1',
      owner: { apiVersion: 'batch/v1', kind: 'Job', name: 'nightly-291', uid: job },
    });
    site.put({
      name: 'llm-worker-0',
      gpus: '1',
      owner: { apiVersion: 'kubeflow.org/v1', kind: 'PyTorchJob', name: 'llm', uid: newUid() },
    });
    cluster.put('/apis/apps/v1/namespaces/team-a/replicasets/web-5d9', {
      kind: 'ReplicaSet',
      metadata: { name: 'web-5d9', uid: 'another-of-that-name' },
    });
    site.put({
      name: 'web-5d9-k2',
      gpus: '1',
      owner: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-5d9', uid: replicas },
    });
    site.follow();
    await until(() => expect(sink.jobs.size).toBe(3));
    expect(jobOf(sink, 'nightly-291-x7')).toMatchObject({
      name: 'CronJob nightly, pod nightly-291-x7',
      attributes: { owner: 'CronJob/nightly', owners: 'Job/nightly-291 < CronJob/nightly' },
    });
    expect(jobOf(sink, 'llm-worker-0').attributes['owner']).toBe('PyTorchJob/llm');
    expect(jobOf(sink, 'web-5d9-k2').attributes['owner']).toBe('ReplicaSet/web-5d9');
  });

  test('the account is where the settings look, in their order', async () => {
    cluster.put('/api/v1/namespaces/team-b', {
      kind: 'Namespace',
      metadata: { name: 'team-b', uid: newUid(), annotations: { 'finance/cost': 'cc-77' } },
    });
    site.put({ name: 'one', gpus: '1', labels: { acct: 'nlp' }, annotations: { owner: 'ann@example' } });
    site.put({ name: 'two', gpus: '1', namespace: 'team-b' });
    site.put({ name: 'three', gpus: '1', labels: { acct: ' ' } });
    site.follow({
      account: [{ label: 'acct' }, { namespaceAnnotation: 'finance/cost' }, { namespace: true }],
      user: [{ annotation: 'owner' }],
    });
    await until(() => expect(sink.jobs.size).toBe(3));
    expect(['one', 'two', 'three'].map((name) => jobOf(sink, name).account)).toEqual([
      'nlp',
      'cc-77',
      'team-a',
    ]);
    expect(jobOf(sink, 'one').user).toBe('ann@example');
  });
});

test('a static pod is known under the uid that the kubelet runs it by', async () => {
  const hash = '9d3c6c2a1f5e4b7d8a90b1c2d3e4f506';
  site.put({
    name: 'exporter-gpu-n1',
    namespace: 'kube-system',
    annotations: { 'kubernetes.io/config.mirror': hash, 'kubernetes.io/config.hash': hash },
    owner: { apiVersion: 'v1', kind: 'Node', name: 'gpu-n1', uid: newUid() },
  });
  // Only mirrors of static pods have one: anybody can annotate a pod.
  site.put({ name: 'liar', annotations: { 'kubernetes.io/config.hash': hash } });
  site.follow();
  await until(() => expect(sink.jobs.size).toBe(2));
  expect(jobOf(sink, 'exporter-gpu-n1').boundaries).toContain(`kubernetes:${hash}`);
  expect(jobOf(sink, 'liar').boundaries).not.toContain(`kubernetes:${hash}`);
});

test('devices of resource claims are known by their minor numbers', async () => {
  cluster.put('/apis/resource.k8s.io', { preferredVersion: { groupVersion: 'resource.k8s.io/v1' } });
  cluster.put('/apis/resource.k8s.io/v1/namespaces/team-a/resourceclaims/dra-0-gpu', {
    kind: 'ResourceClaim',
    metadata: { name: 'dra-0-gpu', uid: newUid() },
    status: {
      allocation: {
        devices: {
          results: [
            { driver: 'gpu.nvidia.com', pool: 'gpu-n1', device: 'gpu-3', request: 'gpu' },
            { driver: 'net.example', pool: 'gpu-n1', device: 'gpu-5', request: 'nic' },
          ],
        },
      },
    },
  });
  site.put({
    name: 'dra-0',
    spec: { resourceClaims: [{ name: 'gpu', resourceClaimTemplateName: 'one' }] },
    status: { resourceClaimStatuses: [{ name: 'gpu', resourceClaimName: 'dra-0-gpu' }] },
  });
  site.follow();
  await until(() =>
    expect(jobOf(sink, 'dra-0').allocations).toMatchObject([{ node: 'gpu-n1', indices: [3] }]),
  );
});

test('nodes that are down or cordoned', async () => {
  site.follow();
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
  cluster.put('/api/v1/nodes/gpu-n1', node('gpu-n1', { gpus: 8, ready: 'Unknown' }));
  await until(() => expect(sink.nodeConditions.at(-1)?.condition).toBe('down'));
  cluster.put(
    '/api/v1/nodes/gpu-n1',
    node('gpu-n1', {
      gpus: 8,
      spec: {
        unschedulable: true,
        taints: [
          {
            key: 'node.kubernetes.io/unschedulable',
            effect: 'NoSchedule',
            timeAdded: '2026-11-21T00:00:00Z',
          },
        ],
      },
    }),
  );
  await until(() => expect(sink.nodeConditions.at(-1)?.condition).toBe('drained'));
  expect(sink.nodeConditions).toEqual([
    expect.objectContaining({
      node: 'gpu-n1',
      condition: 'down',
      fromMs: Date.parse('2026-11-20T08:00:00Z'),
      toMs: null,
    }),
    expect.objectContaining({ condition: 'down', toMs: Date.parse('2026-11-21T00:00:00Z') }),
    expect.objectContaining({ condition: 'drained', fromMs: Date.parse('2026-11-21T00:00:00Z'), toMs: null }),
  ]);
});
