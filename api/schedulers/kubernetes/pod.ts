/** What is kept of a pod, and how long it ran. */
import { beginningOf } from '../entrypoint.ts';
import {
  earliest,
  isMembers,
  latest,
  listOf,
  type Members,
  membersAt,
  momentOf,
  textOf,
} from '../json-values.ts';

/** An object that another one belongs to. */
export interface OwnerRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface PodContainer {
  readonly name: string;
  readonly image: string | null;
  /** The first words of its command; empty: its image decides. */
  readonly entrypoint: readonly string[];
  /** GPUs that it was given, by resource. */
  readonly gpus: ReadonlyMap<string, number>;
  /** Runs before the others (and, where it restarts always, beside them). */
  readonly role: 'main' | 'initial' | 'sidecar';
}

export interface Pod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly owner: OwnerRef | null;
  /** null: the kubelet has not taken it yet. */
  readonly startMs: number | null;
  readonly endMs: number | null;
  readonly phase: string | null;
  readonly containers: readonly PodContainer[];
  /** Ids of its containers as the runtime names them, such as `containerd://…`. */
  readonly containerIds: readonly string[];
  readonly restarts: number;
  /** Of a static pod: the uid under which the kubelet runs it. */
  readonly staticUid: string | null;
  /** Names of the claims that hold its dynamic resources. */
  readonly claims: readonly string[];
  readonly priorityClass: string | null;
  /** A container of it may see every device, whatever it asked for. */
  readonly privileged: boolean;
  /** NVIDIA_VISIBLE_DEVICES as a container sets it: `all` shows devices that nobody gave it. */
  readonly visibleDevices: string | null;
}

/** A pod cannot be used: which, and why. */
export class BadPod extends Error {
  readonly subject: string | null;
  constructor(subject: string | null, message: string) {
    super(message);
    this.name = 'BadPod';
    this.subject = subject;
  }
}

const UID = /^[0-9A-Za-z][0-9A-Za-z._-]{2,127}$/;
const STATIC_UID = /^[0-9a-f]{32}$/;
const MAX_CONTAINERS = 256;
const MAX_LABELS = 128;

/** How a pod was looked at. */
export interface PodLook {
  /** It is there no more. */
  readonly removed: boolean;
  /** When this was noticed. */
  readonly noticedMs: number;
  /** It was told of before. */
  readonly seenRunning: boolean;
}

/**
 * `isGpu` knows the resources that are GPUs; `problem` hears of members that contradict each other. Throws `BadPod`.
 */
export function podOf(
  value: unknown,
  isGpu: (resource: string) => boolean,
  look: PodLook,
  problem: (subject: string, message: string) => void,
): Pod {
  const [metadata, spec, status] = ['metadata', 'spec', 'status'].map((part) => membersAt(value, part));
  if (metadata === undefined || spec === undefined || status === undefined)
    throw new BadPod(null, 'is no object');
  const name = textOf(metadata, 'name');
  const namespace = textOf(metadata, 'namespace');
  const subject = `${namespace ?? '?'}/${name ?? '?'}`;
  const uid = textOf(metadata, 'uid');
  const node = textOf(spec, 'nodeName');
  if (name === null || namespace === null) throw new BadPod(subject, 'metadata.name or namespace is no text');
  if (uid === null || !UID.test(uid)) throw new BadPod(subject, 'metadata.uid is no uid');
  if (node === null) throw new BadPod(subject, 'spec.nodeName is no text');
  for (const message of otherForms(metadata, spec)) problem(subject, message);
  const annotations = textsOf(metadata, 'annotations');
  const hash = annotations.get('kubernetes.io/config.hash');
  const isMirror = annotations.has('kubernetes.io/config.mirror');
  const times = timesOf(metadata, spec, status, look, (message) => problem(subject, message));
  return {
    ...{ uid, name, namespace, node, annotations },
    labels: textsOf(metadata, 'labels'),
    owner: ownerOf(metadata),
    ...times,
    phase: textOf(status, 'phase'),
    containers: containersOf(spec, isGpu, subject),
    containerIds: containerIdsOf(status),
    restarts: restartsOf(status),
    staticUid: isMirror && hash !== undefined && STATIC_UID.test(hash) ? hash : null,
    claims: claimsOf(spec, status),
    priorityClass: textOf(spec, 'priorityClassName'),
    ...sightOf(spec),
  };
}

/** What is left out of a pod since it is of another form; what is not there at all is nothing wrong, but for containers. */
function otherForms(metadata: Members, spec: Members): string[] {
  const texts = ['labels', 'annotations'].filter(
    (name) => metadata[name] !== undefined && metadata[name] !== null && !isMembers(metadata[name]),
  );
  return [
    ...texts.map((name) => `metadata.${name} is no object: it is left out`),
    ...(Array.isArray(spec['containers'])
      ? []
      : ['spec.containers is no list: it is declared without the GPUs that they ask for']),
  ];
}

/** The controller of an object; else the first that it belongs to. */
export function ownerOf(metadata: Members): OwnerRef | null {
  const refs = listOf(metadata, 'ownerReferences').filter(isMembers);
  const ref = refs.find((one) => one['controller'] === true) ?? refs[0];
  if (ref === undefined) return null;
  const [apiVersion, kind, name, uid] = ['apiVersion', 'kind', 'name', 'uid'].map((member) =>
    textOf(ref, member),
  );
  return apiVersion && kind && name && uid ? { apiVersion, kind, name, uid } : null;
}

export function textsOf(members: Members, name: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, value] of Object.entries(membersAt(members, name))) {
    if (texts.size >= MAX_LABELS) break;
    if (typeof value === 'string') texts.set(key, value);
  }
  return texts;
}

const STATUS_LISTS = ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'] as const;

const statusesOf = (status: Members): Members[] =>
  STATUS_LISTS.flatMap((list) => listOf(status, list).slice(0, MAX_CONTAINERS).filter(isMembers));

type Times = Pick<Pod, 'startMs' | 'endMs'>;

/** It holds its devices from when the kubelet took it until the last of its containers ended. */
function timesOf(
  metadata: Members,
  spec: Members,
  status: Members,
  { removed, noticedMs, seenRunning }: PodLook,
  problem: (message: string) => void,
): Times {
  const statuses = statusesOf(status);
  const began = statuses.flatMap((one) => [
    momentOf(membersAt(one, 'state', 'running'), 'startedAt'),
    momentOf(membersAt(one, 'state', 'terminated'), 'startedAt'),
    momentOf(membersAt(one, 'lastState', 'terminated'), 'startedAt'),
  ]);
  const startMs = momentOf(status, 'startTime') ?? earliest(began);
  if (startMs === null) {
    if (statuses.length > 0)
      problem('status.startTime is no time with a zone, and no container says when it began');
    return { startMs, endMs: null };
  }
  const finished = statuses.map((one) => momentOf(membersAt(one, 'state', 'terminated'), 'finishedAt'));
  const after = finished.map((ms) => (ms !== null && ms >= startMs ? ms : null));
  if (finished.some((ms) => ms !== null && ms < startMs))
    problem('a container ended before the pod began (finishedAt before startTime): that end is left out');
  const lastMs = latest(after);
  const deletionMs = momentOf(metadata, 'deletionTimestamp');
  const running = statuses.some((one) => Object.keys(membersAt(one, 'state', 'running')).length > 0);
  const isOver = status['phase'] === 'Succeeded' || status['phase'] === 'Failed';
  const wound = deletionMs !== null && lastMs !== null && !running && allEnded(spec, status);
  if (!removed && !isOver && !wound) return { startMs, endMs: null };
  if (lastMs !== null && (isOver || !running)) return { startMs, endMs: lastMs };
  const changes = listOf(status, 'conditions')
    .filter(isMembers)
    .filter((one) => one['status'] === 'False' || one['type'] === 'DisruptionTarget')
    .map((one) => momentOf(one, 'lastTransitionTime'));
  const bounds = [
    isOver ? (latest(changes) ?? reportedMs(metadata)) : null,
    deletionMs,
    removed || seenRunning ? noticedMs : null,
  ];
  const bound = bounds.find((ms) => ms !== null && ms >= startMs);
  if (bound === undefined) problem('is over, and says nothing of when: it ends when it began');
  return { startMs, endMs: Math.max(startMs, Math.min(bound ?? startMs, noticedMs)) };
}

/** When its status was written last. Of an evicted pod older kubelets keep neither containers nor conditions. */
function reportedMs(metadata: Members): number | null {
  const writes = listOf(metadata, 'managedFields').filter(isMembers);
  return latest(writes.filter((one) => one['subresource'] === 'status').map((one) => momentOf(one, 'time')));
}

/** Every container of the specification says that it ended. */
function allEnded(spec: Members, status: Members): boolean {
  const ended = listOf(status, 'containerStatuses').filter(
    (one) => Object.keys(membersAt(one, 'state', 'terminated')).length > 0,
  );
  return ended.length >= listOf(spec, 'containers').length;
}

const restartsOf = (status: Members): number =>
  statusesOf(status).reduce((sum, one) => {
    const count = one['restartCount'];
    return sum + (typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : 0);
  }, 0);

function containerIdsOf(status: Members): string[] {
  const ids = statusesOf(status).flatMap((one) => [
    textOf(one, 'containerID'),
    textOf(membersAt(one, 'lastState', 'terminated'), 'containerID'),
  ]);
  return [...new Set(ids.filter((id) => id !== null))];
}

function containersOf(spec: Members, isGpu: (resource: string) => boolean, subject: string): PodContainer[] {
  const of = (list: string, roleOf: (one: Members) => PodContainer['role']): PodContainer[] =>
    listOf(spec, list)
      .slice(0, MAX_CONTAINERS)
      .filter(isMembers)
      .map((one) => ({
        name: textOf(one, 'name') ?? '',
        image: textOf(one, 'image'),
        // Without a command, the image decides.
        entrypoint:
          listOf(one, 'command').length === 0
            ? []
            : beginningOf([...listOf(one, 'command'), ...listOf(one, 'args')]),
        gpus: gpusOf(one, isGpu, subject),
        role: roleOf(one),
      }));
  return [
    ...of('containers', () => 'main'),
    ...of('initContainers', (one) => (one['restartPolicy'] === 'Always' ? 'sidecar' : 'initial')),
  ];
}

/** A quantity of a device is a whole number, as text or as a number. */
function gpusOf(
  container: Members,
  isGpu: (resource: string) => boolean,
  subject: string,
): Map<string, number> {
  const gpus = new Map<string, number>();
  for (const kind of ['requests', 'limits'])
    for (const [resource, quantity] of Object.entries(membersAt(container, 'resources', kind))) {
      if (!isGpu(resource)) continue;
      const count = typeof quantity === 'string' && /^\d{1,6}$/.test(quantity) ? Number(quantity) : quantity;
      if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0)
        throw new BadPod(subject, `resources.${kind}["${resource}"] is no whole number`);
      if (count > 0) gpus.set(resource, count);
    }
  return gpus;
}

const VISIBLE = 'NVIDIA_VISIBLE_DEVICES';

/** What a pod may see beside what it was given. */
function sightOf(spec: Members): Pick<Pod, 'privileged' | 'visibleDevices'> {
  const containers = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((list) =>
    listOf(spec, list).slice(0, MAX_CONTAINERS).filter(isMembers),
  );
  const variables = containers.flatMap((one) => listOf(one, 'env').filter(isMembers));
  const visible = variables.find((one) => one['name'] === VISIBLE);
  return {
    privileged: containers.some((one) => membersAt(one, 'securityContext')['privileged'] === true),
    visibleDevices: visible === undefined ? null : textOf(visible, 'value'),
  };
}

function claimsOf(spec: Members, status: Members): string[] {
  const direct = listOf(spec, 'resourceClaims')
    .filter(isMembers)
    .map((one) => textOf(one, 'resourceClaimName'));
  const made = [...listOf(status, 'resourceClaimStatuses'), membersAt(status, 'extendedResourceClaimStatus')]
    .filter(isMembers)
    .map((one) => textOf(one, 'resourceClaimName'));
  return [...new Set([...direct, ...made].filter((name) => name !== null))].slice(0, MAX_CONTAINERS);
}
