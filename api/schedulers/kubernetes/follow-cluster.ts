/** Follows nodes and pods side by side, and says what they mean to the sink. */
import { createHash } from 'node:crypto';
import { isMembers, type Members, membersAt, textOf } from '../json-values.ts';
import type { Declaration, SourceSink } from '../source.ts';
import type { KubernetesApi } from './connect.ts';
import { declarationOf, nodeName } from './declare-pod.ts';
import { followList, type ListHandler } from './follow-list.ts';
import { conditionChanges, type KnownNode, nodeOf } from './nodes.ts';
import { createLookups, type Lookups } from './owners.ts';
import { BadPod, type Pod, podOf } from './pod.ts';
import { type KubernetesSettings, podPaths } from './settings.ts';

/** Declared together. */
const BULK = 200;
/** The clocks of kubelets, and what is on its way. */
const LAG_MS = 5_000;
/** Nodes that nothing is known of. */
const UNKNOWN_NODE: KnownNode = {
  ...{ hasGpus: false, profile: null, replicasOf: () => 1, condition: null },
};

export async function followCluster(
  api: KubernetesApi,
  settings: KubernetesSettings,
  sink: SourceSink,
  signal: AbortSignal,
): Promise<void> {
  const isGpu = gpuResources(settings.resources);
  const problem = (subject: string | null, message: string): void => sink.problem({ subject, message });
  const lookups = createLookups(api, problem);
  const nodes = createNodes(api, isGpu, settings, sink);
  const stop = new AbortController();
  const until = AbortSignal.any([signal, stop.signal]);
  const completeTo = new Map<string, number>();
  const paths = podPaths(settings);
  const running = new Map<string, Set<string>>();

  /** As far as the slowest of the lists is. */
  const caughtUp = async (path: string, toMs: number): Promise<void> => {
    completeTo.set(path, toMs);
    if (completeTo.size === paths.length) await sink.complete(Math.min(...completeTo.values()));
  };
  const listed = async (path: string, uids: Set<string>, atMs: number): Promise<void> => {
    running.set(path, uids);
    if (running.size < paths.length) return;
    const all = new Set<string>();
    for (const some of running.values()) for (const uid of some) all.add(uid);
    await sink.endMissing(all, atMs);
  };

  const tasks: Promise<void>[] = [];
  const start = (task: Promise<void>): void => {
    tasks.push(task);
    // The first to fail ends the others; which one it was is told below.
    task.catch(() => stop.abort());
  };
  start(followList(api, { path: '/api/v1/nodes' }, nodes.handler, until));
  await Promise.race([nodes.ready, ...tasks]).catch(() => undefined);
  for (const path of paths) {
    const pods = createPods({
      api,
      isGpu,
      settings,
      sink,
      lookups,
      nodes,
      path,
      caughtUp,
      listed,
      signal: until,
    });
    start(followList(api, { path, fieldSelector: 'spec.nodeName!=' }, pods, until));
  }
  const ends = await Promise.allSettled(tasks);
  if (signal.aborted) return;
  const failed = ends.flatMap((end) =>
    end.status === 'rejected' && !isAbort(end.reason) ? [end.reason] : [],
  );
  throw failed[0] ?? new Error('the lists ended without a reason');
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** Whether a resource is a GPU; a pattern may end with `*`. */
function gpuResources(patterns: readonly string[]): (resource: string) => boolean {
  const exact = new Set(patterns.filter((one) => !one.endsWith('*')));
  const prefixes = patterns.filter((one) => one.endsWith('*')).map((one) => one.slice(0, -1));
  return (resource) => exact.has(resource) || prefixes.some((prefix) => resource.startsWith(prefix));
}

interface Nodes {
  readonly handler: ListHandler;
  /** The first list has been read. */
  readonly ready: Promise<void>;
  of(name: string): KnownNode;
  /** Raised where a node turned out to have GPUs: its pods have been passed over until then. */
  generation(): number;
}

function createNodes(
  api: KubernetesApi,
  isGpu: (resource: string) => boolean,
  settings: KubernetesSettings,
  sink: SourceSink,
): Nodes {
  const known = new Map<string, KnownNode>();
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  let listing: Set<string> | null = null;
  let generation = 0;
  const now = (): number => api.nowMs();

  const change = async (name: string, after: KnownNode | null): Promise<void> => {
    const before = known.get(name);
    if (after === null) known.delete(name);
    else known.set(name, after);
    if (after?.hasGpus === true && before?.hasGpus !== true) generation += 1;
    const changes = conditionChanges(
      nodeName(name, settings),
      before?.condition ?? null,
      after?.condition ?? null,
      now(),
    );
    if (changes.length > 0) await sink.conditions(changes);
  };

  return {
    ready,
    of: (name) => known.get(name) ?? UNKNOWN_NODE,
    generation: () => generation,
    handler: {
      listing() {
        listing = new Set();
      },
      async object(value, removed) {
        const name = textOf(membersAt(value, 'metadata'), 'name');
        if (name === null) {
          sink.problem({ subject: 'nodes', message: 'metadata.name of a node is no text' });
          return;
        }
        listing?.add(name);
        const before = known.get(name)?.condition ?? null;
        const after = removed ? null : nodeOf(value, isGpu, now());
        // What says nothing of its begin goes on as it began.
        const goesOn = before !== null && after?.condition?.condition === before.condition;
        await change(name, goesOn && after !== null ? { ...after, condition: before } : after);
      },
      async listed() {
        for (const name of [...known.keys()]) if (listing?.has(name) === false) await change(name, null);
        listing = null;
        resolve();
      },
      caughtUp: () => Promise.resolve(true),
      problem: (message) => sink.problem({ subject: 'nodes', message }),
    },
  };
}

interface PodsContext {
  readonly api: KubernetesApi;
  readonly isGpu: (resource: string) => boolean;
  readonly settings: KubernetesSettings;
  readonly sink: SourceSink;
  readonly lookups: Lookups;
  readonly nodes: Nodes;
  readonly path: string;
  readonly caughtUp: (path: string, toMs: number) => Promise<void>;
  readonly listed: (path: string, running: Set<string>, atMs: number) => Promise<void>;
  readonly signal: AbortSignal;
}

function createPods(context: PodsContext): ListHandler {
  const { api, isGpu, settings, sink, lookups, nodes, path, signal } = context;
  /** Digest of what was said of each pod last: nothing is said twice; and its end. */
  const said = new Map<string, { readonly digest: string; readonly endMs: number | null }>();
  let listing: Set<string> | null = null;
  let pending: Declaration[] = [];
  let generation = nodes.generation();

  const flush = async (): Promise<void> => {
    const jobs = pending;
    pending = [];
    if (jobs.length > 0) await sink.declare(jobs);
  };

  async function take(pod: Pod): Promise<void> {
    const { startMs } = pod;
    if (startMs === null) return;
    const known = said.get(pod.uid);
    const node = nodes.of(pod.node);
    const asks = pod.claims.length > 0 || pod.containers.some(({ gpus }) => gpus.size > 0);
    if (!asks && !node.hasGpus && known === undefined) return;
    const declaration = declarationOf(
      { ...pod, startMs },
      {
        owners: await lookups.ownersOf(pod.owner, pod.namespace, signal),
        ...(await surroundings(pod)),
        node,
        claimed: await claimedBy(pod),
      },
      settings,
    );
    const digest = createHash('sha256').update(JSON.stringify(declaration)).digest('base64');
    if (known?.digest === digest) return;
    said.set(pod.uid, { digest, endMs: pod.endMs });
    pending.push(declaration);
    if (pending.length >= BULK) await flush();
  }

  async function surroundings(pod: Pod) {
    const rules = [...settings.account, ...settings.user];
    const asks = rules.some((rule) => 'namespaceLabel' in rule || 'namespaceAnnotation' in rule);
    const { labels, annotations } = asks
      ? await lookups.namespace(pod.namespace, signal)
      : { labels: new Map<string, string>(), annotations: new Map<string, string>() };
    return { namespaceLabels: labels, namespaceAnnotations: annotations };
  }

  async function claimedBy(pod: Pod): Promise<number[]> {
    if (pod.containers.some(({ gpus }) => gpus.size > 0)) return [];
    const minors: number[] = [];
    for (const claim of pod.claims)
      minors.push(...(await lookups.claimedMinors(claim, pod.namespace, signal)));
    return minors;
  }

  return {
    listing() {
      listing = new Set();
      generation = nodes.generation();
    },
    async object(value: Members, removed: boolean) {
      const noticedMs = api.nowMs();
      const uid = textOf(membersAt(value, 'metadata'), 'uid');
      const spec = value['spec'];
      // It waits for a node.
      if (uid !== null && isMembers(spec) && spec['nodeName'] === undefined && !removed) {
        listing?.add(uid);
        return;
      }
      try {
        const before = uid === null ? undefined : said.get(uid);
        const looked = {
          removed,
          // What was seen running and is over without a word of when ended by now.
          noticedMs: before?.endMs ?? noticedMs,
          seenRunning: before !== undefined,
        };
        const pod = podOf(value, isGpu, looked, (subject, message) => sink.problem({ subject, message }));
        listing?.add(pod.uid);
        await take(pod);
        if (removed) said.delete(pod.uid);
      } catch (error) {
        if (!(error instanceof BadPod)) throw error;
        // It is there, though it cannot be understood: it has not ended.
        if (uid !== null) listing?.add(uid);
        sink.problem({ subject: error.subject, message: error.message });
      }
    },
    async listed() {
      await flush();
      const running = listing ?? new Set<string>();
      for (const uid of said.keys()) if (!running.has(uid)) said.delete(uid);
      listing = null;
      await context.listed(path, running, api.nowMs());
    },
    async caughtUp() {
      await flush();
      const isStale = generation !== nodes.generation();
      if (!isStale) await context.caughtUp(path, api.nowMs() - LAG_MS);
      return !isStale;
    },
    problem: (message) => sink.problem({ subject: path, message }),
  };
}
