/** Makes batches: puts what was taken into bodies that fit the limits of the wire, and chains them by hash. */
import {
  type AccountedFact,
  type AgentProblem,
  BATCH_LIMITS,
  BATCH_SCHEMA,
  type Batch,
  type BatchBody,
  CHAIN_START,
  type ClockStep,
  type ConnectionFact,
  type DeviceFact,
  type DialFact,
  type Gap,
  type HolderFact,
  type HostFact,
  type IntegrityFact,
  type PersonalRecord,
  type ProcessFact,
  type Tenancy,
  type ToolFact,
} from '../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../api/contract/canonical.ts';
import type { GrantsFact } from '../api/contract/grants.ts';

/** A batch is split before its JSON passes this, so that several fit into one request. */
const BATCH_BYTES = 2 * 1024 * 1024;

/** The end of a chain: where the next batch goes. */
export interface Head {
  readonly stream: string;
  readonly nextSeq: number;
  readonly lastHash: string;
}

export const newHead = (stream: string): Head => ({ stream, nextSeq: 1, lastHash: CHAIN_START });
export const headAfter = ({ body, hash }: Batch): Head => ({
  stream: body.stream,
  nextSeq: body.seq + 1,
  lastHash: hash,
});

/** What is the same in all batches of an agent for a while. */
export interface Sender {
  readonly cluster: string;
  readonly node: string;
  readonly bootId: string;
  readonly agentVersion: string;
  readonly driverVersion: string | null;
  readonly pollIntervalMs: number;
}

/** What was seen beside the devices' time, told once each. */
export interface Observations {
  readonly connections: readonly ConnectionFact[];
  readonly accounted: readonly AccountedFact[];
  readonly holders: readonly HolderFact[];
  readonly dials: readonly DialFact[];
  readonly integrity: readonly IntegrityFact[];
}

/** What one stretch of time, within one UTC hour, has to report. */
export interface Content {
  readonly fromMs: number;
  readonly toMs: number;
  readonly inventory: readonly DeviceFact[] | null;
  readonly processes: readonly ProcessFact[];
  readonly tenancies: readonly Tenancy[];
  readonly gaps: readonly Gap[];
  readonly observations: Observations;
  readonly tools: readonly ToolFact[] | null;
  readonly host: HostFact | null;
  readonly grants: GrantsFact | null;
  readonly clockSteps: readonly ClockStep[];
  readonly problems: readonly AgentProblem[];
  readonly personal: readonly PersonalRecord[];
}

type Lists = Pick<BatchBody, 'processes' | 'tenancies' | 'gaps' | keyof Observations>;
interface Part {
  readonly lists: Lists;
  bytes: number;
}
const newPart = (): Part => ({
  lists: {
    ...{ processes: [], tenancies: [], gaps: [], connections: [] },
    ...{ accounted: [], holders: [], dials: [], integrity: [] },
  },
  bytes: 0,
});

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** Fills parts in order; each item goes whole. Processes come first, so that no span precedes the process it names. */
function partition(content: Content, personal: ReadonlyMap<string, PersonalRecord>): Part[] {
  let part = newPart();
  const parts = [part];
  const place = <T>(
    items: readonly T[],
    limit: number,
    list: (of: Lists) => T[],
    digest: (item: T) => string | null,
  ) => {
    for (const item of items) {
      const bytes = bytesOf(item) + bytesOf(personal.get(digest(item) ?? '') ?? null);
      if (list(part.lists).length >= limit || (part.bytes > 0 && part.bytes + bytes > BATCH_BYTES)) {
        part = newPart();
        parts.push(part);
      }
      list(part.lists).push(item);
      part.bytes += bytes;
    }
  };
  const none = (): null => null;
  place(
    content.processes,
    BATCH_LIMITS.processes,
    (of) => of.processes,
    (item) => item.personal,
  );
  place(
    content.observations.connections,
    BATCH_LIMITS.connections,
    (of) => of.connections,
    (item) => item.personal,
  );
  place(content.observations.accounted, BATCH_LIMITS.accounted, (of) => of.accounted, none);
  place(content.observations.holders, BATCH_LIMITS.holders, (of) => of.holders, none);
  place(content.observations.dials, BATCH_LIMITS.dials, (of) => of.dials, none);
  place(content.observations.integrity, BATCH_LIMITS.integrity, (of) => of.integrity, none);
  place(content.tenancies, BATCH_LIMITS.tenanciesPerBatch, (of) => of.tenancies, none);
  place(content.gaps, BATCH_LIMITS.gaps, (of) => of.gaps, none);
  return parts;
}

/**
 * One or more chained batches. A part that only tells of processes stands at the start of the stretch with no length:
 * the service must not take the time as reported before its spans are.
 */
export function makeBatches(content: Content, sender: Sender, head: Head): Batch[] {
  const personal = new Map(content.personal.map((record) => [record.digest, record]));
  const parts = partition(content, personal);
  const batches: Batch[] = [];
  let at = head;
  for (const [index, { lists }] of parts.entries()) {
    const { processes, tenancies, gaps, connections } = lists;
    const isFirst = index === 0;
    const isLast = index === parts.length - 1;
    const measures = isLast || tenancies.length > 0 || gaps.length > 0;
    const batch = sealBatch(
      {
        schema: BATCH_SCHEMA,
        ...sender,
        stream: at.stream,
        seq: at.nextSeq,
        previousHash: at.lastHash,
        fromMs: content.fromMs,
        toMs: measures ? content.toMs : content.fromMs,
        inventory: isFirst ? upTo(BATCH_LIMITS.devices, content.inventory) : null,
        ...lists,
        tools: isFirst ? upTo(BATCH_LIMITS.tools, content.tools) : null,
        host: isFirst ? content.host : null,
        ...(isFirst && content.grants !== null ? { grants: content.grants } : {}),
        clockSteps: isLast ? content.clockSteps.slice(0, BATCH_LIMITS.problems) : [],
        problems: isLast ? content.problems.slice(0, BATCH_LIMITS.problems) : [],
      },
      [...processes, ...connections].flatMap((fact) => personal.get(fact.personal ?? '') ?? []),
    );
    batches.push(batch);
    at = headAfter(batch);
  }
  return batches;
}

const upTo = <T>(limit: number, items: readonly T[] | null): T[] | null => items?.slice(0, limit) ?? null;

export function sealBatch(body: BatchBody, personal: PersonalRecord[]): Batch {
  return { body, hash: sha256Hex(canonicalJson(body)), personal };
}

/** The same content at another place of another chain. */
export function rechain({ body, personal }: Batch, head: Head): Batch {
  return sealBatch(
    { ...body, stream: head.stream, seq: head.nextSeq, previousHash: head.lastHash },
    personal,
  );
}

const isMembers = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function canonicalHash(value: unknown): string | null {
  try {
    return sha256Hex(canonicalJson(value));
  } catch {
    return null;
  }
}

/**
 * Whether a value read back from disk is, to the last bit, a batch that was sealed: the hashes cover all of it, so a
 * body that carries its own hash has the form that it was given.
 */
export function isSealed(value: unknown): value is Batch {
  if (!isMembers(value) || !isMembers(value['body']) || !Array.isArray(value['personal'])) return false;
  const { body, hash, personal } = value;
  if (body['schema'] !== BATCH_SCHEMA || canonicalHash(body) !== hash) return false;
  return personal.every(
    (record: unknown) =>
      isMembers(record) &&
      record['digest'] === canonicalHash({ salt: record['salt'], value: record['value'] }),
  );
}
