/**
 * Takes batches from agents: checks the request, the chain and the digests, and answers when everything is durable.
 * Posts that arrive within a few milliseconds of each other share one commit.
 */
import type { Clock } from '../clock.ts';
import {
  type Batch,
  type BatchRequest,
  type BatchResponse,
  CHAIN_START,
  HOUR_MS,
} from '../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../contract/canonical.ts';
import { isSignedBy } from '../contract/signature.ts';
import type { Caller } from '../domain/caller.ts';
import { type PostWrite, type Standing, StoreConflict, type StreamKey } from '../store/batches.ts';
import type { Store } from '../store/store.ts';
import { BadField } from './check-members.ts';
import { ServiceError } from './errors.ts';
import type { Live } from './live.ts';
import { checkBatchRequest } from './validate-batch.ts';

/** A batch that ends later than this after the service's clock is not taken yet: one of the two clocks is wrong. */
export const MAX_AHEAD_MS = 600_000;
/**
 * Further off than this and no waiting helps: a machine that started with its clock in 1970 or 2038 would open capacity
 * there, and decades would be booked as not measured. Such a batch is set aside, so that the agent can go on.
 */
const MAX_BEHIND_DAYS = 92;
const FAR_AHEAD_DAYS = 1;
const DAY_MS = 24 * HOUR_MS;
/** How long a post waits for others to share its commit. */
const GROUP_COMMIT_MS = 3;
const MAX_WAITING_POSTS = 2_048;
/** News of an hour that ended longer ago than this are history: they need not come first. */
const URGENT_WITHIN_MS = 2 * HOUR_MS;

export interface Ingest {
  /**
   * Takes a post of an agent. Throws `ServiceError`: `forbidden` for another node's batches, `invalid` with the
   * member's path, `unavailable` when too many posts wait.
   */
  accept(caller: Caller, request: unknown): Promise<BatchResponse>;
}

/** A checked batch: `body` is its canonical JSON. */
interface CheckedBatch {
  readonly batch: Batch;
  readonly body: string;
}

interface WaitingPost {
  readonly key: StreamKey;
  /** The name of the token that it came with. */
  readonly by: string;
  readonly batches: readonly CheckedBatch[];
  resolve(response: BatchResponse): void;
  reject(error: unknown): void;
}

/** `cluster` is the only one that this service keeps. */
export function createIngest(store: Store, clock: Clock, live: Live, cluster: string): Ingest {
  let waiting: WaitingPost[] = [];
  let flushing = false;

  async function flush(): Promise<void> {
    if (flushing) return;
    flushing = true;
    try {
      while (waiting.length > 0) {
        const posts = waiting;
        waiting = [];
        await commit(posts);
      }
    } finally {
      flushing = false;
    }
  }

  async function commit(posts: readonly WaitingPost[]): Promise<void> {
    try {
      const answers = await decideAndApply(store, posts, clock.nowMs());
      for (const [index, post] of posts.entries()) {
        const answer = answers[index];
        if (answer === undefined) throw new Error('a post was left without an answer');
        post.resolve({ ...answer, serviceTimeMs: clock.nowMs() });
      }
      for (const node of new Set(posts.map((post) => post.key.node))) live.publish({ type: 'node', node });
    } catch (error) {
      for (const post of posts) post.reject(error);
    }
  }

  return {
    async accept(caller, request) {
      checkRequest(request);
      const first = request.batches[0]?.body;
      checkCaller(caller, first?.node ?? null);
      if (first === undefined) return { results: [], expectedSeq: 1, serviceTimeMs: clock.nowMs() };
      if (first.cluster !== cluster)
        throw invalid('batches.0.body.cluster', `this service keeps the cluster "${cluster}"`);
      const nowMs = clock.nowMs();
      // What stands before the first one that lies ahead is taken: a node whose clock is fast is late, not lost.
      const ahead = request.batches.findIndex((batch) => liesAhead(batch, nowMs));
      const timely = ahead > 0 ? request.batches.slice(0, ahead) : request.batches;
      const batches = timely.map((batch, index) => checkBatch(batch, index, nowMs));
      await checkSigned(store, { cluster, node: first.node }, timely);
      if (waiting.length >= MAX_WAITING_POSTS)
        throw new ServiceError('unavailable', 'too many posts wait to be stored; try again');
      const key = { cluster, node: first.node, stream: first.stream };
      return new Promise<BatchResponse>((resolve, reject) => {
        waiting.push({ key, by: caller.name, batches, resolve, reject });
        if (waiting.length === 1) setTimeout(() => void flush(), GROUP_COMMIT_MS);
      });
    },
  };
}

function invalid(field: string, message: string): ServiceError {
  return new ServiceError('invalid', `Not valid: ${field}`, [{ field, message }]);
}

function checkRequest(request: unknown): asserts request is BatchRequest {
  try {
    checkBatchRequest(request);
  } catch (error) {
    if (error instanceof BadField) throw invalid(error.field, error.message);
    throw error;
  }
}

function checkCaller(caller: Caller, node: string | null): void {
  if (caller.role !== 'agent') throw new ServiceError('forbidden', 'only an agent sends batches');
  if (node !== null && caller.node !== node)
    throw new ServiceError('forbidden', `this token writes for node ${caller.node ?? '-'}, not for ${node}`);
}

/** It ends too late to be taken now, and can be taken later. */
const liesAhead = (batch: Batch, nowMs: number): boolean =>
  batch.body.toMs > nowMs + MAX_AHEAD_MS && clockFault(batch, nowMs) === null;

function checkBatch(batch: Batch, index: number, nowMs: number): CheckedBatch {
  const at = `batches.${index}`;
  if (liesAhead(batch, nowMs))
    throw invalid(
      `${at}.body.toMs`,
      `lies ${Math.round((batch.body.toMs - nowMs) / 1000)} seconds ahead of this service's clock; check the clocks of both machines`,
    );
  const body = canonicalJson(batch.body);
  if (sha256Hex(body) !== batch.hash) throw invalid(`${at}.hash`, 'is not the SHA-256 of the canonical body');
  if (batch.signature !== undefined && !isSignedBy(batch.signature, batch.hash))
    throw invalid(`${at}.signature`, 'is not of this batch by the key that it names');
  for (const [position, { digest, salt, value }] of batch.personal.entries()) {
    if (sha256Hex(canonicalJson({ salt, value })) !== digest)
      throw invalid(`${at}.personal.${position}.digest`, 'is not the SHA-256 of its salt and value');
  }
  return { batch, body };
}

/** Once a node has signed, what comes without a signature is not taken from it: its agent keeps it. */
async function checkSigned(
  store: Store,
  { cluster, node }: { readonly cluster: string; readonly node: string },
  batches: readonly Batch[],
): Promise<void> {
  const index = batches.findIndex((batch) => batch.signature === undefined);
  if (index === -1 || (await store.keys.list(cluster, node)).length === 0) return;
  throw invalid(
    `batches.${index}.signature`,
    'is missing, though this node signs what it sends; let its agent be no older than before',
  );
}

/** What to say of a batch whose times cannot be meant; null: nothing. */
function clockFault({ body }: Batch, nowMs: number): string | null {
  if (body.fromMs < nowMs - MAX_BEHIND_DAYS * DAY_MS)
    return `it says that it begins ${new Date(body.fromMs).toISOString()}, more than ${MAX_BEHIND_DAYS} days ago; check the node's clock`;
  if (body.toMs > nowMs + FAR_AHEAD_DAYS * DAY_MS)
    return `it says that it ends ${new Date(body.toMs).toISOString()}, which is to come; check the node's clock`;
  return null;
}

/** Reads how far each stream is, decides every post in turn, and writes them all. Decides once more on a conflict. */
async function decideAndApply(
  store: Store,
  posts: readonly WaitingPost[],
  nowMs: number,
): Promise<readonly BatchResponse[]> {
  for (let attempt = 1; ; attempt += 1) {
    const standings = await store.batches.readStandings(posts.map((post) => post.key));
    const known = new Map<string, Standing>();
    const pending = new Map<string, string>();
    const writes: PostWrite[] = [];
    const answers: BatchResponse[] = [];
    for (const [index, post] of posts.entries()) {
      const name = `${post.key.node}\n${post.key.stream}`;
      const standing = known.get(name) ?? standings[index];
      if (standing === undefined) throw new Error('the store left out a standing');
      const hashOf = async (number: number) =>
        pending.get(`${name}\n${number}`) ?? (await store.batches.readHash(post.key, number));
      const decided = await decide(post, standing, hashOf, nowMs);
      for (const one of decided.write.batches) pending.set(`${name}\n${one.number}`, one.hash);
      known.set(name, decided.standing);
      answers.push(decided.answer);
      if (decided.write.batches.length > 0 || decided.write.quarantined.length > 0)
        writes.push(decided.write);
    }
    try {
      if (writes.length > 0) await store.batches.apply(writes);
      return answers;
    } catch (error) {
      if (!(error instanceof StoreConflict) || attempt > 1) throw error;
    }
  }
}

interface Decision {
  readonly write: PostWrite;
  readonly standing: Standing;
  readonly answer: BatchResponse;
}

async function decide(
  post: WaitingPost,
  standing: Standing,
  hashOf: (number: number) => Promise<string | null>,
  nowMs: number,
): Promise<Decision> {
  let { headNumber, headHash } = standing;
  const stored: CheckedBatch[] = [];
  const quarantined: { number: number; hash: string; why: string; body: string }[] = [];
  const results: BatchResponse['results'] = [];
  const refuse = (one: CheckedBatch, why: string) => {
    quarantined.push({ number: one.batch.body.seq, hash: one.batch.hash, why, body: one.body });
    results.push({ seq: one.batch.body.seq, status: 'quarantined', message: why });
  };
  for (const one of post.batches) {
    const { seq, previousHash } = one.batch.body;
    const fault = seq > headNumber ? clockFault(one.batch, nowMs) : null;
    if (fault !== null) refuse(one, fault);
    else if (seq > headNumber + 1) {
      const message =
        headNumber === 0 ? 'a new stream begins at 1' : `the service has ${headNumber} batches of it`;
      results.push({ seq, status: 'out_of_order', message });
    } else if (seq === headNumber + 1) {
      if (previousHash === (headNumber === 0 ? CHAIN_START : headHash)) {
        stored.push(one);
        headNumber = seq;
        headHash = one.batch.hash;
        results.push({ seq, status: 'stored', message: null });
      } else refuse(one, 'previousHash is not the hash of the batch before it');
    } else {
      const inPost = stored.find((earlier) => earlier.batch.body.seq === seq)?.batch.hash;
      if ((inPost ?? (await hashOf(seq))) === one.batch.hash)
        results.push({ seq, status: 'duplicate', message: null });
      else refuse(one, 'this number was stored with another content');
    }
  }
  const write = writeFor(post, stored, quarantined, standing, nowMs);
  return {
    write,
    standing: {
      ...standing,
      headNumber,
      headHash,
      completeToMs: write.agent?.completeToMs ?? standing.completeToMs,
      tenantsDigest: write.agent?.tenantsDigest ?? standing.tenantsDigest,
    },
    answer: { results, expectedSeq: headNumber + 1 },
  };
}

function writeFor(
  { key, by }: WaitingPost,
  stored: readonly CheckedBatch[],
  quarantined: PostWrite['quarantined'],
  standing: Standing,
  nowMs: number,
): PostWrite {
  const urgentFromMs = nowMs - URGENT_WITHIN_MS;
  const dirty = new Map<number, { urgent: boolean; quiet: boolean }>();
  let completeToMs = standing.completeToMs ?? 0;
  let tenantsDigest = standing.tenantsDigest;
  const first = stored[0]?.batch.body;
  const bookedToMs = Math.max(standing.completeToMs ?? 0, standing.silentToMs ?? 0) || (first?.fromMs ?? 0);
  for (const { batch } of stored) {
    const { fromMs, toMs } = batch.body;
    const tenants = tenantsOf(batch);
    const changed = tenants !== null && tenants !== tenantsDigest;
    if (tenants !== null) tenantsDigest = tenants;
    const hourMs = hourOf(fromMs);
    const before = dirty.get(hourMs) ?? { urgent: false, quiet: true };
    dirty.set(hourMs, {
      urgent: before.urgent || (changed && toMs >= urgentFromMs),
      quiet: before.quiet && !changed && toMs >= urgentFromMs && isQuiet(batch.body),
    });
    completeToMs = Math.max(completeToMs, toMs);
  }
  // Hours that are now booked further than before, although no batch of this post lies in them.
  for (let hourMs = hourOf(bookedToMs); hourMs < completeToMs && first !== undefined; hourMs += HOUR_MS)
    if (!dirty.has(hourMs)) dirty.set(hourMs, { urgent: false, quiet: false });
  const newest = stored.at(-1)?.batch.body;
  return {
    ...key,
    recordedAtMs: nowMs,
    recordedBy: by,
    expectedHead: standing.headNumber,
    batches: stored.map(({ batch, body }) => ({
      number: batch.body.seq,
      hash: batch.hash,
      hourMs: hourOf(batch.body.fromMs),
      fromMs: batch.body.fromMs,
      toMs: batch.body.toMs,
      body,
      bootId: batch.body.bootId,
      inventory: batch.body.inventory,
      driverVersion: batch.body.driverVersion,
      tools: batch.body.tools,
      host: batch.body.host,
      personal: batch.personal,
      signature: batch.signature ?? null,
      // A time to come would stand above all that follows.
      problems: batch.body.problems.map((one) => ({ ...one, atMs: Math.min(one.atMs, nowMs) })),
    })),
    quarantined,
    problems: quarantined.map(({ number, why }) => ({
      atMs: nowMs,
      source: 'service',
      message: `batch ${number} of stream ${key.stream} was set aside: ${why}`,
    })),
    agent: newest === undefined ? null : { ...agentOf(newest), completeToMs, tenantsDigest },
    dirtyHours: [...dirty].map(([hourMs, how]) => ({ hourMs, ...how })),
  };
}

const hourOf = (ms: number): number => ms - (ms % HOUR_MS);

const agentOf = ({ agentVersion, driverVersion, bootId, pollIntervalMs }: Batch['body']) => ({
  agentVersion,
  driverVersion,
  bootId,
  pollIntervalMs,
});

/** It only goes on with what was there: nothing in it begins, ends or is remarkable. */
const isQuiet = (body: Batch['body']): boolean =>
  body.inventory === null &&
  [body.processes, body.gaps, body.connections, body.accounted, body.dials].every(
    (all) => all.length === 0,
  ) &&
  [body.integrity, body.clockSteps, body.problems].every((all) => all.length === 0);

/**
 * Digest of what each device had last: which processes, whether they executed, and whether it contradicted itself. null
 * where the batch has no readings.
 */
function tenantsOf(batch: Batch): string | null {
  const { tenancies, bootId } = batch.body;
  if (tenancies.length === 0) return null;
  const sets = new Map<string, string>();
  for (const { device, tenants, activeMs, conflictMs } of tenancies) {
    const set = tenants.map((tenant) => tenant.process).sort();
    const works = activeMs?.some((ms) => ms > 0) === true ? ' works' : '';
    sets.set(device, `${set.join(',')}${works}${conflictMs.length > 0 ? ' contradicts itself' : ''}`);
  }
  const lines = [...sets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([device, set]) => `${device} ${set}`);
  return sha256Hex(`${bootId}\n${lines.join('\n')}`);
}
