/** How much of a device a pod was given: by its containers, and by how its node divides GPUs. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeKubernetes } from './kubernetes-api.ts';
import { node } from './kubernetes-objects.ts';
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
test('shares of divided devices', async () => {
  cluster.put(
    '/api/v1/nodes/gpu-n2',
    node('gpu-n2', {
      gpus: 80,
      labels: { 'nvidia.com/gpu.replicas': '10', 'nvidia.com/gpu.sharing-strategy': 'time-slicing' },
    }),
  );
  site.put({ name: 'slice', node: 'gpu-n2', gpus: '1', resource: 'nvidia.com/gpu.shared' });
  site.put({ name: 'mig', gpus: '2', resource: 'nvidia.com/mig-3g.40gb' });
  site.follow();
  await until(() => expect(sink.jobs.size).toBe(2));
  expect(jobOf(sink, 'slice').allocations).toMatchObject([{ count: 1, share: 0.1 }]);
  expect(jobOf(sink, 'mig').allocations).toMatchObject([{ count: 2, share: 0.428 }]);
});

test('containers that run one after another need the most of any moment, and one that waits for a node none', async () => {
  const one = (name: string, gpus: string, more = {}) => ({
    ...{ name, image: 'i', resources: { limits: { 'nvidia.com/gpu': gpus } }, ...more },
  });
  const spec = {
    initContainers: [one('load', '4'), one('proxy', '1', { restartPolicy: 'Always' }), one('warm', '2')],
    containers: [one('main', '1')],
    ephemeralContainers: [{ name: 'debug', image: 'i', securityContext: { privileged: true } }],
  };
  site.put({ name: 'steps', spec });
  site.put({ name: 'waits', gpus: '1', spec: { nodeName: undefined }, phase: 'Pending', startTime: null });
  site.follow();
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
  expect([...sink.jobs.values()].map((job) => job.attributes['pod'])).toEqual(['steps']);
  expect(jobOf(sink, 'steps')).toMatchObject({
    allocations: [{ count: 4, share: 1 }],
    attributes: { privileged: 'yes' },
  });
  expect(sink.problems).toEqual([]);
});

test.each([
  ['nvidia.com/gpu', { 'nvidia.com/gpu.product': 'NVIDIA-A100-SXM4-40GB-MIG-1g.5gb' }, 0.142],
  ['nvidia.com/gpu', { 'nvidia.com/gpu.product': 'NVIDIA-A100-SXM4-40GB-SHARED' }, 1],
  ['nvidia.com/gpu', { 'cloud.google.com/gke-gpu-partition-size': '3g.20gb' }, 0.428],
  ['nvidia.com/gpu', { 'cloud.google.com/gke-max-shared-clients-per-gpu': '4' }, 0.25],
  ['nvidia.com/gpu', { 'nvidia.com/gpu.sharing-strategy': 'none', 'nvidia.com/gpu.replicas': '4' }, 1],
  ['nvidia.com/mig-1c.3g.20gb', {}, 0.142],
  ['nvidia.com/mig-1g.10gb.me', {}, 0.142],
  ['nvidia.com/mig-2g.12gb', {}, 0.5],
  [
    'nvidia.com/mig-1g.10gb.shared',
    { 'nvidia.com/mig-1g.10gb.replicas': '2', 'nvidia.com/mig-1g.10gb.sharing-strategy': 'time-slicing' },
    0.071,
  ],
])('%s of a node with %j is a part of a device', async (resource, labels, share) => {
  cluster.put('/api/v1/nodes/gpu-n1', node('gpu-n1', { gpus: 7, labels }));
  site.put({ name: 'part', gpus: '1', resource });
  site.follow();
  await until(() => expect(jobOf(sink, 'part').allocations).toMatchObject([{ count: 1, share }]));
});
