/**
 * Which devices the kubelet gave to which container, as its PodResources API says: names and ids as it has them. What
 * they mean on the node (`api/domain/grants.ts`) the inventory tells.
 */

export const GRANT_LIMITS = {
  grants: 1024,
  idsPerGrant: 256,
  /** Of all grants together. */
  ids: 4096,
  replicas: 1024,
} as const;

/** Devices of one resource that a container was given. */
export interface GrantFact {
  namespace: string;
  pod: string;
  container: string;
  /** Such as "nvidia.com/gpu"; of dynamic resources their driver, such as "gpu.nvidia.com". */
  resource: string;
  /** Such as "GPU-…", "MIG-…", "GPU-…::3" (a replica), "nvidia0/gi3/vgpu1", "gpu-0" (a dynamic resource). */
  ids: string[];
}

/**
 * Everything that the kubelet had given at one moment: in the first batch of an hour that knows it, and when it changed.
 * Absent in a batch: nothing new, or no kubelet.
 */
export interface GrantsFact {
  atMs: number;
  grants: GrantFact[];
  /** Of devices that are given in replicas: how many there are. `device` is what the ids of its replicas begin with. */
  replicas: { device: string; count: number }[];
}

const REPLICA = /^(.+?)(?:::\d+|\/vgpu\d+)$/;

/** What the id of a replica is a replica of; null: it is none. */
export const replicaOf = (id: string): string | null => REPLICA.exec(id)?.[1] ?? null;
