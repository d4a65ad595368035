/** What is known of nodes: which have GPUs, how these are divided, and why a node takes no work. */

import { isMembers, listOf, type Members, membersAt, momentOf, textOf } from '../json-values.ts';
import type { NodeCondition } from '../source.ts';
import type { NodeDevices } from './declare-pod.ts';

const MAX_REASON_CHARS = 300;
const MAX_REPLICAS = 1000;

export interface KnownNode extends NodeDevices {
  readonly hasGpus: boolean;
  readonly condition: Omit<NodeCondition, 'node' | 'toMs'> | null;
}

/** `nowMs` stands for when a node was cordoned, which the API does not say. */
export function nodeOf(value: Members, isGpu: (resource: string) => boolean, nowMs: number): KnownNode {
  const labels = membersAt(value, 'metadata', 'labels');
  const capacity = Object.keys(membersAt(value, 'status', 'capacity'));
  return {
    hasGpus: capacity.some(isGpu) || labels['nvidia.com/gpu.present'] === 'true',
    profile: profileOf(labels),
    replicasOf: (resource) => replicasOf(labels, resource),
    condition: conditionOf(value, nowMs),
  };
}

/** NVIDIA's discovery says it in the product's name (A100-SXM4-40GB-MIG-1g.5gb), Google's in a label of its own. */
const profileOf = (labels: Members): string | null =>
  textOf(labels, 'cloud.google.com/gke-gpu-partition-size') ??
  /-MIG-([^-]+)/.exec(textOf(labels, 'nvidia.com/gpu.product') ?? '')?.[1] ??
  null;

/** Time slices and MPS of NVIDIA's device plugin, for each resource, or of Google's. */
function replicasOf(labels: Members, resource: string): number {
  const name = resource.replace(/\.shared$/, '');
  const strategy =
    textOf(labels, `${name}.sharing-strategy`) ?? textOf(labels, 'nvidia.com/gpu.sharing-strategy');
  const isShared = strategy !== null && strategy !== 'none';
  const said =
    textOf(labels, 'cloud.google.com/gke-max-shared-clients-per-gpu') ??
    (isShared ? textOf(labels, `${name}.replicas`) : null);
  const replicas = Number(said ?? '1');
  return Number.isSafeInteger(replicas) ? Math.max(1, Math.min(MAX_REPLICAS, replicas)) : 1;
}

function conditionOf(value: Members, nowMs: number): KnownNode['condition'] {
  const ready = listOf(membersAt(value, 'status'), 'conditions')
    .filter(isMembers)
    .find((one) => one['type'] === 'Ready');
  if (ready !== undefined && ready['status'] !== 'True') {
    const said = textOf(ready, 'message') ?? textOf(ready, 'reason') ?? 'not ready';
    return { condition: 'down', fromMs: momentOf(ready, 'lastTransitionTime') ?? nowMs, reason: cut(said) };
  }
  if (membersAt(value, 'spec')['unschedulable'] !== true) return null;
  const taint = listOf(membersAt(value, 'spec'), 'taints')
    .filter(isMembers)
    .find((one) => one['key'] === 'node.kubernetes.io/unschedulable');
  return { condition: 'drained', fromMs: momentOf(taint ?? {}, 'timeAdded') ?? nowMs, reason: 'cordoned' };
}

const cut = (text: string): string => text.slice(0, MAX_REASON_CHARS).replace(/[\p{Cc}\p{Cs}]/gu, ' ');

/** What changed between two looks at a node, as conditions that begin and end. */
export function conditionChanges(
  node: string,
  before: KnownNode['condition'],
  after: KnownNode['condition'],
  nowMs: number,
): NodeCondition[] {
  if (before?.condition === after?.condition && before?.reason === after?.reason) return [];
  const changes: NodeCondition[] = [];
  if (before !== null)
    changes.push({ node, ...before, toMs: Math.max(before.fromMs, after?.fromMs ?? nowMs) });
  if (after !== null) changes.push({ node, ...after, toMs: null });
  return changes;
}
