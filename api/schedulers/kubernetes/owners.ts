/** From what owns a pod up to what a person made, and other objects that say something of it. */

import { isMembers, listOf, membersAt, textOf } from '../json-values.ts';
import { ApiError, type KubernetesApi } from './connect.ts';
import { type OwnerRef, ownerOf, textsOf } from './pod.ts';

/** An owner of an owner of an owner … */
const MAX_DEPTH = 8;
const MAX_KEPT = 20_000;
const KEEP_MS = 300_000;

interface Owner {
  readonly kind: string;
  readonly name: string;
}

interface NamespaceTexts {
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
}

export interface Lookups {
  /** The chain of owners, the nearest first. What may not be read ends it, and is told once. */
  ownersOf(owner: OwnerRef | null, namespace: string, signal: AbortSignal): Promise<Owner[]>;
  namespace(name: string, signal: AbortSignal): Promise<NamespaceTexts>;
  /** Minor numbers of the GPUs that a claim was given. */
  claimedMinors(claim: string, namespace: string, signal: AbortSignal): Promise<number[]>;
}

const NO_TEXTS: NamespaceTexts = { labels: new Map(), annotations: new Map() };
/** Names that can stand in a path. */
const SEGMENT = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;
const API_VERSION = /^([a-z0-9][a-z0-9.-]{0,251}\/)?v[a-z0-9]{1,20}$/;
const DRA_GROUP = 'resource.k8s.io';
const DRA_DRIVER = 'gpu.nvidia.com';
/** "gpu-3" is a device, "gpu-3-mig-19-0-1" an instance of one: the first number is that of /dev/nvidia3. */
const DRA_DEVICE = /^gpu-(\d{1,4})(?:-mig-[\d-]+)?$/;

export function createLookups(
  api: KubernetesApi,
  problem: (subject: string, message: string) => void,
): Lookups {
  const owners = createKept<OwnerRef | null>();
  const namespaces = createKept<NamespaceTexts>();
  const claims = createKept<number[]>();
  const plurals = createKept<string | null>();

  /** What `read` gives; where it may not be read, is not there, or fails by itself, `otherwise`: a pod goes before its owner's name. */
  async function lenient<T>(subject: string, otherwise: T, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 0 || error.status === 401) throw error;
      if (error.status !== 404) problem(subject, error.message);
      return otherwise;
    }
  }

  /** The name under which an API serves a kind; null: it does not. */
  const pluralOf = (apiVersion: string, kind: string, signal: AbortSignal): Promise<string | null> =>
    plurals.get(`${apiVersion} ${kind}`, () =>
      lenient(kind, null, async () => {
        const list = membersAt(await api.get(rootOf(apiVersion), {}, signal));
        const found = listOf(list, 'resources')
          .filter(isMembers)
          .find((one) => one['kind'] === kind && !(textOf(one, 'name') ?? '/').includes('/'));
        return found === undefined ? null : textOf(found, 'name');
      }),
    );

  const above = (ref: OwnerRef, namespace: string, signal: AbortSignal): Promise<OwnerRef | null> =>
    owners.get(ref.uid, async () => {
      if (!API_VERSION.test(ref.apiVersion) || !SEGMENT.test(ref.name)) return null;
      const plural = await pluralOf(ref.apiVersion, ref.kind, signal);
      if (plural === null || !SEGMENT.test(plural)) return null;
      const path = `${rootOf(ref.apiVersion)}/namespaces/${namespace}/${plural}/${ref.name}`;
      return lenient(ref.kind, null, async () => {
        const metadata = membersAt(await api.get(path, { metadataOnly: true }, signal), 'metadata');
        // Another one of the same name says nothing of this pod.
        return textOf(metadata, 'uid') === ref.uid ? ownerOf(metadata) : null;
      });
    });

  return {
    async ownersOf(owner, namespace, signal) {
      const chain: Owner[] = [];
      const seen = new Set<string>();
      for (let ref = owner; ref !== null && chain.length < MAX_DEPTH && !seen.has(ref.uid); ) {
        seen.add(ref.uid);
        chain.push({ kind: ref.kind, name: ref.name });
        // A static pod belongs to its node, and that to nobody.
        ref = ref.kind === 'Node' || !SEGMENT.test(namespace) ? null : await above(ref, namespace, signal);
      }
      return chain;
    },
    namespace(name, signal) {
      if (!SEGMENT.test(name)) return Promise.resolve(NO_TEXTS);
      return namespaces.get(name, () =>
        lenient('namespaces', NO_TEXTS, async () => {
          const path = `/api/v1/namespaces/${name}`;
          const metadata = membersAt(await api.get(path, { metadataOnly: true }, signal), 'metadata');
          return { labels: textsOf(metadata, 'labels'), annotations: textsOf(metadata, 'annotations') };
        }),
      );
    },
    claimedMinors(claim, namespace, signal) {
      if (!SEGMENT.test(claim) || !SEGMENT.test(namespace)) return Promise.resolve([]);
      return claims.get(`${namespace}/${claim}`, () =>
        lenient('resourceclaims', [], async () => {
          const group = await api.get(`/apis/${DRA_GROUP}`, {}, signal);
          const version = textOf(membersAt(group, 'preferredVersion'), 'groupVersion');
          if (version === null || !API_VERSION.test(version)) return [];
          const path = `${rootOf(version)}/namespaces/${namespace}/resourceclaims/${claim}`;
          const devices = membersAt(await api.get(path, {}, signal), 'status', 'allocation', 'devices');
          return listOf(devices, 'results')
            .filter(isMembers)
            .flatMap((one) => {
              const minor =
                one['driver'] === DRA_DRIVER ? DRA_DEVICE.exec(textOf(one, 'device') ?? '')?.[1] : undefined;
              return minor === undefined ? [] : [Number(minor)];
            });
        }),
      );
    },
  };
}

const rootOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;

interface Kept<T> {
  get(key: string, read: () => Promise<T>): Promise<T>;
}

/** Answers that are kept for a while, the oldest ones given up first. A failure is not kept. */
function createKept<T>(): Kept<T> {
  const kept = new Map<string, { readonly value: Promise<T>; readonly untilMs: number }>();
  return {
    get(key, read) {
      const known = kept.get(key);
      if (known !== undefined && known.untilMs > performance.now()) return known.value;
      kept.delete(key);
      const value = read();
      kept.set(key, { value, untilMs: performance.now() + KEEP_MS });
      value.catch(() => kept.delete(key));
      for (const oldest of kept.keys()) {
        if (kept.size <= MAX_KEPT) break;
        kept.delete(oldest);
      }
      return value;
    },
  };
}
