/**
 * The kubelet's PodResources API, version v1: which devices it gave to which container. `v1.PodResourcesLister` on
 * /var/lib/kubelet/pod-resources/kubelet.sock; the field numbers are those of its api.proto.
 */
import { GRANT_LIMITS, type GrantFact, type GrantsFact, replicaOf } from '../../api/contract/grants.ts';
import { bytesToText } from '../text.ts';
import { fieldsOf } from './protobuf.ts';

export const LIST = '/v1.PodResourcesLister/List';
export const ALLOCATABLE = '/v1.PodResourcesLister/GetAllocatableResources';

const MAX_NAME_CHARS = 253;

/** What is a GPU: by the name of its resource, or by an id as the driver gives them. Others' devices are nobody's business here. */
const GPU_RESOURCE = /^nvidia\.com\/(?:gpu|mig-|vgpu)/;
const GPU_ID = /(?:^|\W)(?:GPU|MIG)-[0-9A-Fa-f-]{8}/;
const GPU_DRIVER = 'gpu.nvidia.com';
const isGpu = (resource: string, id: string): boolean => GPU_RESOURCE.test(resource) || GPU_ID.test(id);

export interface Granted {
  readonly grants: GrantFact[];
  /** Something was left out, since there is more than the wire takes. */
  readonly cut: boolean;
}

/** The answer of `List`. Throws `BadMessage`. Pods without a GPU are left out. */
export function readGrants(message: Buffer): Granted {
  const grants: GrantFact[] = [];
  let left: number = GRANT_LIMITS.ids;
  let cut = false;
  for (const pod of messages(message, 1)) {
    const name = textAt(pod, 1);
    const namespace = textAt(pod, 2);
    for (const container of messages(pod, 3)) {
      const given = devicesOf(container);
      if (name === '' || namespace === '' || given.size === 0) continue;
      const containerName = textAt(container, 1) || '?';
      for (const [resource, all] of given) {
        const ids = [...all].slice(0, Math.min(GRANT_LIMITS.idsPerGrant, left));
        cut ||= ids.length < all.size || grants.length >= GRANT_LIMITS.grants;
        left -= ids.length;
        if (ids.length > 0 && grants.length < GRANT_LIMITS.grants)
          grants.push({ namespace, pod: name, container: containerName, resource, ids });
      }
    }
  }
  return { grants, cut };
}

/** GPUs of a container by resource: of the device plugin (field 2), and dynamic ones (field 5). */
function devicesOf(container: Buffer): Map<string, Set<string>> {
  const given = new Map<string, Set<string>>();
  const add = (resource: string, id: string): void => {
    if (resource === '' || id === '') return;
    const ids = given.get(resource) ?? new Set<string>();
    given.set(resource, ids);
    ids.add(id);
  };
  for (const devices of messages(container, 2)) {
    const resource = textAt(devices, 1);
    for (const id of textsAt(devices, 2)) if (isGpu(resource, id)) add(resource, id);
  }
  for (const dynamic of messages(container, 5))
    for (const claim of messages(dynamic, 4)) {
      const driver = textAt(claim, 2);
      const named = textAt(claim, 4);
      if (driver === GPU_DRIVER && named !== '') add(driver, named);
      else if (driver === '' || named === '') {
        // Before 1.31 a claim only had the names of its container devices: "k8s.gpu.nvidia.com/device=gpu-0".
        for (const cdi of messages(claim, 1)) {
          const [kind = '', id = ''] = textAt(cdi, 1).split('=', 2);
          if (kind.includes(GPU_DRIVER)) add(GPU_DRIVER, id);
        }
      }
    }
  return given;
}

/** The answer of `GetAllocatableResources`: how many replicas there are of what is given in replicas. Throws `BadMessage`. */
export function readReplicas(message: Buffer): GrantsFact['replicas'] {
  const ids = new Map<string, Set<string>>();
  for (const devices of messages(message, 1)) {
    const resource = textAt(devices, 1);
    for (const id of textsAt(devices, 2)) {
      const device = isGpu(resource, id) ? replicaOf(id) : null;
      if (device === null) continue;
      const own = ids.get(device) ?? new Set<string>();
      if (ids.size < GRANT_LIMITS.replicas) ids.set(device, own);
      own.add(id);
    }
  }
  return [...ids].map(([device, { size }]) => ({ device, count: Math.min(size, 65_535) }));
}

function* messages(message: Buffer, number: number): Generator<Buffer> {
  for (const field of fieldsOf(message))
    if (field.number === number && field.bytes !== null) yield field.bytes;
}

/** The last one counts, as everywhere in protocol buffers. */
function textAt(message: Buffer, number: number): string {
  let last: Buffer | null = null;
  for (const bytes of messages(message, number)) last = bytes;
  return last === null ? '' : textOf(last);
}

function* textsAt(message: Buffer, number: number): Generator<string> {
  for (const bytes of messages(message, number)) yield textOf(bytes);
}

const textOf = (bytes: Buffer): string => bytesToText(bytes, MAX_NAME_CHARS).text;
