/**
 * Proves the ledger from its facts: checks the hashes and chains of what agents sent, attributes every node-hour again as
 * it was known when it was booked, and compares. Reads only.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BatchBody } from '../contract/batch.ts';
import { RULES_VERSION } from '../domain/cell.ts';
import type { StoredHour } from '../store/audit.ts';
import type { StoredBatch } from '../store/batches.ts';
import { StoreError } from '../store/errors.ts';
import type { Store } from '../store/store.ts';
import { loadHour } from './load-hour.ts';
import { computeNodeHour, type HourOfNode, watermarksOf } from './node-hour.ts';
import { createChainCheck } from './verify-chain.ts';
import { compareHour } from './verify-compare.ts';

/** Differences that are listed; more are only counted. */
const LISTED_DIFFERENCES = 1_000;
const JOURNAL_PAGE = 1_000;

/**
 * Why something stored is not what the facts give. `tampered`: nothing explains it. `rules`: it was made by other rules or
 * another policy than hold now. `expired`: retention has erased text that the verdict rested on.
 */
type DifferenceKind = 'tampered' | 'rules' | 'expired';

interface VerifyDifference {
  readonly kind: DifferenceKind;
  /** Node, hour and device, or the name of the sum. */
  readonly where: string;
  readonly what: string;
}

export interface VerifyReport {
  /** True when there are neither chain problems nor differences of kind `tampered`. */
  readonly ok: boolean;
  readonly nodes: number;
  readonly batches: number;
  /** Cells that are stored, and those of them that were attributed again and compared. */
  readonly cells: number;
  readonly checked: number;
  /** Node-hours that wait to be attributed again: not compared. */
  readonly pending: number;
  /** Texts that retention has erased. */
  readonly erased: number;
  readonly differences: readonly VerifyDifference[];
  readonly differenceCount: number;
  /** What is wrong with batches, seals, streams and the journal, in words. */
  readonly chain: readonly string[];
}

export interface VerifyProgress {
  readonly doneHours: number;
  readonly totalHours: number;
}

/** `store` must be opened for reading only: one state of it is held until the end. */
export async function verify(
  store: Store,
  onProgress: (progress: VerifyProgress) => void,
): Promise<VerifyReport> {
  await store.audit.begin();
  try {
    return await verifySnapshot(store, onProgress);
  } finally {
    await store.audit.end();
  }
}

interface Findings {
  batches: number;
  cells: number;
  checked: number;
  pending: number;
  erased: number;
  differenceCount: number;
  readonly differences: VerifyDifference[];
  readonly chain: string[];
}

async function verifySnapshot(
  store: Store,
  onProgress: (progress: VerifyProgress) => void,
): Promise<VerifyReport> {
  const found: Findings = {
    ...{ batches: 0, cells: 0, checked: 0, pending: 0, erased: 0, differenceCount: 0 },
    ...{ differences: [], chain: [] },
  };
  const nodes = await store.audit.listNodes();
  const hours = new Map<number, number[]>();
  for (const { node } of nodes) hours.set(node, await store.audit.listHours(node));
  const totalHours = [...hours.values()].reduce((sum, list) => sum + list.length, 0);
  let doneHours = 0;
  for (const { node, cluster, nodeName } of nodes) {
    const chain = createChainCheck(nodeName);
    for (const hourMs of hours.get(node) ?? []) {
      await verifyHour(store, { node, cluster, nodeName, hourMs }, chain.add, found);
      doneHours += 1;
      onProgress({ doneHours, totalHours });
      await nextTurn();
    }
    found.chain.push(...chain.finish(await store.audit.listStreams(node)));
  }
  for (const what of await store.audit.checkSums())
    add(found, { kind: 'tampered', where: what, what: 'does not add up' });
  found.chain.push(...(await verifyJournal(store)));
  const ok = found.chain.length === 0 && !found.differences.some((one) => one.kind === 'tampered');
  return { ok, nodes: nodes.length, ...found };
}

function add(found: Findings, difference: VerifyDifference): void {
  found.differenceCount += 1;
  // A sign of tampering must not drown among the others.
  if (found.differences.length < LISTED_DIFFERENCES) found.differences.push(difference);
  else if (difference.kind === 'tampered') found.differences[LISTED_DIFFERENCES - 1] = difference;
}

type NodeHour = HourOfNode & { readonly node: number };

async function verifyHour(
  store: Store,
  hour: NodeHour,
  addToChain: (batches: readonly StoredBatch[], seal: StoredHour['seal'], hourMs: number) => string[],
  found: Findings,
): Promise<void> {
  const where = `node ${hour.nodeName}, ${new Date(hour.hourMs).toISOString()}`;
  let batches: StoredBatch[];
  try {
    batches = await store.batches.readHour(hour);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    found.chain.push(`${where}: ${error.message}`);
    return;
  }
  found.batches += batches.length;
  const stored = await store.audit.readStored(hour);
  found.cells += stored.cells.length;
  const broken = addToChain(batches, stored.seal, hour.hourMs);
  found.chain.push(...broken);
  if (stored.pending) {
    found.pending += 1;
    return;
  }
  const bodies = parseBodies(batches);
  if (bodies === null) return;
  const personal = await store.audit.checkPersonal(digestsOf(bodies));
  found.erased += personal.erased;
  for (const digest of personal.changed)
    found.chain.push(`${where}: the text behind digest ${digest} is not what the agent sent`);
  for (const { text, device, rules } of await compareStored(store, hour, bodies, stored)) {
    const kind = rules ? 'rules' : personal.erased > 0 ? 'expired' : 'tampered';
    add(found, { kind, where: `${where}, ${device}`, what: text });
  }
  found.checked += stored.cells.length;
}

function parseBodies(batches: readonly StoredBatch[]): BatchBody[] | null {
  try {
    return batches.map((batch): BatchBody => JSON.parse(batch.body));
  } catch {
    // The hash of a body that is no JSON was wrong as well, and is reported.
    return null;
  }
}

function digestsOf(bodies: readonly BatchBody[]): Set<string> {
  const digests = new Set<string>();
  for (const body of bodies)
    for (const { personal } of [...body.processes, ...body.connections])
      if (personal !== null) digests.add(personal);
  return digests;
}

interface HourDifference {
  readonly device: string;
  readonly text: string;
  /** The cell was made by other rules or another policy than hold now. */
  readonly rules: boolean;
}

/** Attributes the hour as it was known when it was booked. */
async function compareStored(
  store: Store,
  hour: NodeHour,
  bodies: readonly BatchBody[],
  stored: StoredHour,
): Promise<HourDifference[]> {
  const [first] = stored.cells;
  const facts = await store.ledger.readFacts(hour);
  const loaded = await loadHour(store, hour, bodies, facts);
  const sources = await store.audit.readSources(hour.node, first?.factsSeq ?? facts.seq);
  try {
    const result = computeNodeHour({
      ...loaded,
      sources: watermarksOf(sources, facts.policy, first?.computedAtMs ?? 0),
    });
    const rulesOf = new Map(
      stored.cells.map((cell) => [
        cell.device,
        cell.rulesVersion !== RULES_VERSION || cell.policyVersion !== facts.policy.version,
      ]),
    );
    return compareHour(stored, result).map((one) => ({ ...one, rules: rulesOf.get(one.device) ?? false }));
  } catch (error) {
    const text = `cannot be attributed again: ${error instanceof Error ? error.message : String(error)}`;
    return [{ device: 'all devices', text, rules: false }];
  }
}

async function verifyJournal(store: Store): Promise<string[]> {
  const problems: string[] = [];
  let number = 0;
  let hash = '0'.repeat(64);
  for (;;) {
    const rows = await store.audit.readJournal(number, JOURNAL_PAGE);
    for (const row of rows) {
      if (row.number !== number + 1)
        problems.push(`journal: entries between ${number} and ${row.number} are missing`);
      if (row.previousHash !== hash)
        problems.push(`journal: entry ${row.number} is not chained to the one before it`);
      if (row.hash !== row.expectedHash) problems.push(`journal: entry ${row.number} was changed`);
      ({ number, hash } = row);
    }
    if (rows.length < JOURNAL_PAGE) return problems;
  }
}
