/** A pod as a declaration. */
import { attributesOf } from '../attributes.ts';
import { clean } from '../json-values.ts';
import { migSlices } from '../mig.ts';
import type { Declaration } from '../source.ts';
import type { Pod, PodContainer } from './pod.ts';
import type { KubernetesSettings, NameRule } from './settings.ts';

/** What a node says of how its GPUs are divided. */
export interface NodeDevices {
  /** Where all of its GPUs are divided into instances of one profile, which are counted as GPUs: that profile. */
  readonly profile: string | null;
  /** How many may share one device, or instance, of a resource. */
  replicasOf(resource: string): number;
}

/** What belongs to a pod and does not stand in it. */
export interface PodSurroundings {
  /** From the one that owns the pod up to the one that a person made: "ReplicaSet/web-5d9", "Deployment/web". */
  readonly owners: readonly { readonly kind: string; readonly name: string }[];
  readonly namespaceLabels: ReadonlyMap<string, string>;
  readonly namespaceAnnotations: ReadonlyMap<string, string>;
  readonly node: NodeDevices;
  /** Minor numbers of devices on the node that its claims were given. */
  readonly claimed: readonly number[];
}

const MAX_NAME_CHARS = 253;
const MAX_BOUNDARIES = 64;
const MAX_COUNT = 64;
const MAX_IMAGE_CHARS = 1024;

export function declarationOf(
  pod: Pod & { readonly startMs: number },
  around: PodSurroundings,
  settings: KubernetesSettings,
): Declaration {
  const top = around.owners.at(-1);
  const node = nodeName(pod.node, settings);
  const container = chiefOf(pod.containers);
  return {
    source: 'kubernetes',
    sourceInstance: settings.instance,
    externalId: pod.uid,
    account: named(settings.account, pod, around) ?? clean(pod.namespace, MAX_NAME_CHARS),
    user: named(settings.user, pod, around),
    name: clean(top === undefined ? `Pod ${pod.name}` : `${top.kind} ${top.name}, pod ${pod.name}`, 1024),
    start: new Date(pod.startMs).toISOString(),
    end: pod.endMs === null ? null : new Date(pod.endMs).toISOString(),
    allocations: allocationsOf(pod, around, node),
    boundaries: boundariesOf(pod),
    ...(container?.image ? { image: clean(container.image, MAX_IMAGE_CHARS) } : {}),
    entrypoint: container === null ? [] : [...container.entrypoint],
    attributes: attributesOf([
      ['namespace', pod.namespace],
      ['pod', pod.name],
      ['node', node],
      ['owner', top === undefined ? null : `${top.kind}/${top.name}`],
      ['owners', around.owners.map(({ kind, name }) => `${kind}/${name}`).join(' < ')],
      ['phase', pod.phase],
      ['restarts', pod.restarts === 0 ? null : String(pod.restarts)],
      ['priorityClass', pod.priorityClass],
      ['privileged', pod.privileged ? 'yes' : null],
      ['visibleDevices', pod.visibleDevices],
      ['static', pod.staticUid === null ? null : 'yes'],
      ...[...pod.labels].map(([name, value]) => [`label:${name}`, value] as const),
    ]),
  };
}

export const nodeName = (name: string, { shortNodeNames }: KubernetesSettings): string =>
  clean(shortNodeNames ? (name.split('.', 1)[0] ?? name) : name, MAX_NAME_CHARS);

/** The first rule that finds a name. */
function named(rules: readonly NameRule[], pod: Pod, around: PodSurroundings): string | null {
  for (const rule of rules) {
    const found = 'namespace' in rule ? pod.namespace : fromRule(rule, pod, around);
    const name = clean(found ?? '', MAX_NAME_CHARS).trim();
    if (name !== '') return name;
  }
  return null;
}

function fromRule(
  rule: Exclude<NameRule, { namespace: true }>,
  pod: Pod,
  around: PodSurroundings,
): string | undefined {
  if ('label' in rule) return pod.labels.get(rule.label);
  if ('annotation' in rule) return pod.annotations.get(rule.annotation);
  if ('namespaceLabel' in rule) return around.namespaceLabels.get(rule.namespaceLabel);
  return around.namespaceAnnotations.get(rule.namespaceAnnotation);
}

/** The only one that runs, or that has GPUs: what it runs is what the pod runs. */
function chiefOf(containers: readonly PodContainer[]): PodContainer | null {
  const main = containers.filter(({ role }) => role === 'main');
  const withGpus = main.filter(({ gpus }) => gpus.size > 0);
  const [chief, another] = withGpus.length > 0 ? withGpus : main;
  return chief !== undefined && another === undefined ? chief : null;
}

type PodAllocation =
  | { readonly node: string; readonly count: number; readonly share: number }
  | { readonly node: string; readonly indices: readonly number[] };

/**
 * What the pod asked for, by resource: containers that run together add up, one that runs before them needs no more than
 * itself. A pod that asked for nothing is declared with no device: what it uses all the same is found.
 */
function allocationsOf(pod: Pod, around: PodSurroundings, node: string): PodAllocation[] {
  const resources = new Set(pod.containers.flatMap(({ gpus }) => [...gpus.keys()]));
  const allocations: PodAllocation[] = [];
  for (const resource of [...resources].sort()) {
    const count = Math.min(MAX_COUNT, neededOf(pod.containers, resource));
    allocations.push({ node, count, share: shareOf(resource, around.node) });
  }
  if (allocations.length === 0 && around.claimed.length > 0)
    allocations.push({
      node,
      indices: [...new Set(around.claimed)].sort((a, b) => a - b).slice(0, MAX_COUNT),
    });
  return allocations;
}

/** As the scheduler counts: one that runs before others needs its own beside those of the sidecars that began before it. */
function neededOf(containers: readonly PodContainer[], resource: string): number {
  let most = 0;
  let beside = 0;
  let together = 0;
  for (const { role, gpus } of containers) {
    const count = gpus.get(resource) ?? 0;
    if (role === 'main') together += count;
    else if (role === 'sidecar') beside += count;
    else most = Math.max(most, beside + count);
  }
  return Math.max(most, beside + together);
}

/** Cut to thousandths, so that the parts of a device never exceed it. */
function shareOf(resource: string, node: NodeDevices): number {
  const slices = resource.includes('/mig-')
    ? migSlices(resource)
    : node.profile === null
      ? null
      : migSlices(node.profile);
  const part = slices === null ? 1 : slices.each / slices.device;
  return Math.max(0.001, Math.floor((part / node.replicasOf(resource)) * 1000) / 1000);
}

/** Runtimes whose control groups can stand outside of the pod's, and how the kernel's names are spelt. */
const RUNTIMES: ReadonlyMap<string, string> = new Map([
  ['docker', 'docker'],
  ['containerd', 'container'],
  ['cri-o', 'container'],
]);

function boundariesOf(pod: Pod): string[] {
  const boundaries = [`kubernetes:${pod.uid}`];
  if (pod.staticUid !== null) boundaries.push(`kubernetes:${pod.staticUid}`);
  for (const id of pod.containerIds) {
    const [, runtime, hex] = /^([a-z-]+):\/\/([0-9a-f]{64})$/.exec(id) ?? [];
    const kind = RUNTIMES.get(runtime ?? '');
    if (kind !== undefined && hex !== undefined) boundaries.push(`${kind}:${hex}`);
  }
  return boundaries.slice(0, MAX_BOUNDARIES);
}
