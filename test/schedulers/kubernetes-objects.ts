/** Objects as a Kubernetes API gives them. */
import type { Json } from './kubernetes-api.ts';

let uids = 0;
export const newUid = (): string => {
  uids += 1;
  return `0f0e9c52-3ab1-4c1e-9d5e-${uids.toString(16).padStart(12, '0')}`;
};

export const node = (
  name: string,
  more: { gpus?: number; labels?: Json; spec?: Json; ready?: string } = {},
): Json => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, uid: newUid(), labels: more.labels ?? {} },
  spec: more.spec ?? {},
  status: {
    capacity: {
      cpu: '64',
      memory: '527988Mi',
      pods: '110',
      ...(more.gpus ? { 'nvidia.com/gpu': String(more.gpus) } : {}),
    },
    conditions: [
      { type: 'MemoryPressure', status: 'False', lastTransitionTime: '2026-11-01T00:00:00Z' },
      {
        type: 'Ready',
        status: more.ready ?? 'True',
        lastTransitionTime: '2026-11-20T08:00:00Z',
        reason: 'KubeletNotReady',
        message: 'container runtime is down',
      },
    ],
  },
});

export interface PodWish {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly node?: string;
  readonly gpus?: unknown;
  readonly resource?: string;
  readonly owner?: { apiVersion: string; kind: string; name: string; uid: string };
  readonly labels?: Json;
  readonly annotations?: Json;
  readonly command?: string[];
  readonly args?: string[];
  readonly phase?: string;
  readonly startTime?: unknown;
  readonly finishedAt?: string;
  readonly deletionTimestamp?: string;
  readonly spec?: Json;
  readonly status?: Json;
}

export function pod(wish: PodWish): Json {
  const {
    name,
    namespace = 'team-a',
    owner,
    finishedAt,
    phase = finishedAt === undefined ? 'Running' : 'Succeeded',
  } = wish;
  const limits =
    wish.gpus === undefined ? {} : { limits: { [wish.resource ?? 'nvidia.com/gpu']: wish.gpus } };
  const startedAt = '2026-11-23T10:00:07Z';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid: wish.uid ?? newUid(),
      labels: wish.labels ?? {},
      annotations: wish.annotations ?? {},
      creationTimestamp: '2026-11-23T10:00:00Z',
      ...(wish.deletionTimestamp ? { deletionTimestamp: wish.deletionTimestamp } : {}),
      ...(owner ? { ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: true }] } : {}),
    },
    spec: {
      nodeName: wish.node ?? 'gpu-n1',
      containers: [
        {
          name: 'main',
          image: 'registry.example/llm:4',
          ...(wish.command ? { command: wish.command } : {}),
          ...(wish.args ? { args: wish.args } : {}),
          resources: { requests: { cpu: '4' }, ...limits },
        },
      ],
      ...wish.spec,
    },
    status: {
      phase,
      startTime: wish.startTime === undefined ? '2026-11-23T10:00:02Z' : wish.startTime,
      containerStatuses: [
        {
          name: 'main',
          restartCount: 0,
          containerID: `containerd://${'ab'.repeat(32)}`,
          state:
            finishedAt === undefined
              ? { running: { startedAt } }
              : { terminated: { exitCode: 0, reason: 'Completed', startedAt, finishedAt } },
        },
      ],
      ...wish.status,
    },
  };
}
