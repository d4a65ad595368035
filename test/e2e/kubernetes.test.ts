/**
 * Kubernetes from one end to the other: the real agent, the real service and the real source. The API is served by the
 * test, the kubelet is a gRPC server on a socket, and /proc is a folder in which the processes are in pods.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobDetail, JobList } from '../../api/contract/jobs.ts';
import { createKubernetesSource, KubernetesSettings } from '../../api/schedulers/kubernetes/source.ts';
import type { SourceSink } from '../../api/schedulers/source.ts';
import { ProcFixture } from '../collector/proc-fixture.ts';
import { FakeKubelet } from '../fakes/kubelet.ts';
import { FakeKubernetes } from '../schedulers/kubernetes-api.ts';
import { newUid, node, pod } from '../schedulers/kubernetes-objects.ts';
import { writeKubeconfig } from '../schedulers/kubernetes-site.ts';
import { startProgram, until } from './processes.ts';
import { createSite, type Site } from './site.ts';

const GPUS = [0, 1, 2].map((at) => `GPU-22222222-aaaa-4aaa-8aaa-00000000000${at}`);
const GIB = 2 ** 30;
const cluster = new FakeKubernetes();
const kubelet = new FakeKubelet();
const proc = new ProcFixture();
const stop = new AbortController();
let site: Site;
let following: Promise<unknown> = Promise.resolve();

const cgroup = (uid: string): string => {
  const slice = `kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`;
  return `0::/kubepods.slice/kubepods-besteffort.slice/${slice}/cri-containerd-${'cd'.repeat(32)}.scope\n`;
};

/** What a source says, told to the service as a runner would. */
async function sinkTo(url: string): Promise<SourceSink> {
  const token = await site.token(['--role', 'scheduler', '--name', 'kubernetes']);
  const send = async (method: string, path: string, body: unknown): Promise<void> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  };
  return {
    declare: async (jobs) => {
      for (const job of jobs) await send('POST', '/v1/jobs', job);
    },
    complete: (ms) =>
      send('PUT', '/v1/sources/kubernetes/default', { completeTo: new Date(ms).toISOString() }),
    endMissing: () => Promise.resolve(),
    conditions: () => Promise.resolve(),
    problem: () => undefined,
  };
}

beforeAll(async () => {
  site = await createSite('gpu-n1', GPUS);
  const kubeconfig = join(site.folder, 'kubeconfig');
  const server = await cluster.start();
  writeKubeconfig(kubeconfig, server);
  cluster.put('/api/v1/nodes/gpu-n1', node('gpu-n1', { gpus: 3 }));
  const socket = join(site.folder, 'kubelet.sock');
  await kubelet.start(socket);
  const tokenFile = join(site.folder, 'pod-token');
  writeFileSync(tokenFile, await site.token(['--role', 'agent', '--node', 'gpu-n1', '--name', 'agent']), {
    mode: 0o600,
  });
  const sink = await sinkTo(site.url);
  const settings = KubernetesSettings.parse({ kubeconfig });
  following = createKubernetesSource(settings, Date.now).follow(null, sink, stop.signal);
  following.catch(() => undefined);
  agent = startProgram('collector/cli/main.ts', [
    'run',
    ...['--api', site.url, '--node', 'gpu-n1', '--token-file', tokenFile, '--poll', '1'],
    ...['--spool', join(site.folder, 'pod-spool'), '--nvidia-smi', site.nvidiaSmi.path],
    ...['--proc', proc.root, '--passwd', proc.passwd, '--pod-resources', socket],
  ]);
});
let agent: ReturnType<typeof startProgram> | null = null;

afterAll(async () => {
  stop.abort();
  await following.catch(() => undefined);
  await agent?.kill('SIGTERM');
  kubelet.stop();
  await cluster.stop();
  await site?.stop();
});

const jobNamed = async (name: string): Promise<JobDetail | null> => {
  const { items } = await site.get<JobList>('/v1/jobs?source=kubernetes');
  const found = items.find((job) => job.name.endsWith(name));
  return found === undefined ? null : site.get<JobDetail>(`/v1/jobs/${found.id}`);
};

test('a pod uses what the kubelet gave it; one that asked for nothing, and one that is gone, are found', async () => {
  const [asked, undeclared] = [newUid(), newUid()];
  const startTime = new Date(Date.now() - 600_000).toISOString();
  const wish = { name: 'llm-0', uid: asked, gpus: '1', startTime };
  cluster.put('/api/v1/namespaces/team-a/pods/llm-0', pod(wish));
  cluster.put(
    '/api/v1/namespaces/team-b/pods/web-0',
    pod({ name: 'web-0', namespace: 'team-b', uid: undeclared, startTime }),
  );
  // Not the first free one, and the agent sees the process of the other pod first.
  kubelet.pods = [
    {
      namespace: 'team-a',
      name: 'llm-0',
      containers: [{ name: 'main', devices: [{ resource: 'nvidia.com/gpu', ids: [GPUS[2] ?? ''] }] }],
    },
  ];
  proc.put({ pid: 501, cgroup: cgroup(asked) });
  proc.put({ pid: 502, cgroup: cgroup(undeclared), exe: '/usr/local/bin/server', comm: 'server' });
  site.nvidiaSmi.setProcesses([
    { device: GPUS[2] ?? '', pid: 501, sm: 80, memoryBytes: 40 * GIB },
    { device: GPUS[1] ?? '', pid: 502, sm: 95, memoryBytes: 6 * GIB },
  ]);
  const shown = () => `${agent?.output()}\n${cluster.requests.join('\n')}`;
  const trained = await until(
    'use by the pod',
    async () => {
      const job = await jobNamed('llm-0');
      return job !== null && job.use.usedMs > 2000 && job.devices.some(({ device }) => device === GPUS[2])
        ? job
        : null;
    },
    60_000,
    shown,
  );
  expect(trained.devices.map(({ device, assumed }) => [device, assumed])).toEqual([[GPUS[2], false]]);
  const finding = await until(
    'the use of a pod that asked for none',
    async () => (await site.findings()).find((found) => found.source.executable === '/usr/local/bin/server'),
    60_000,
    shown,
  );
  const detail = await site.finding(finding.id);
  expect(detail).toMatchObject({ reason: 'outside_allocation', insideJob: { account: 'team-b' } });

  // The pod is deleted, and its process computes on.
  cluster.remove(
    '/api/v1/namespaces/team-a/pods/llm-0',
    pod({ ...wish, deletionTimestamp: new Date(Date.now() - 1000).toISOString() }),
  );
  await until(
    'use after the end',
    async () => (await site.findings()).find((found) => found.reason === 'after_end'),
    60_000,
    shown,
  );
});
