/**
 * Proves the ledger from its facts: checks the hashes and chains of what agents sent, attributes every node-hour again as
 * it was known when it was booked, and compares. Reads only.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BatchBody, ToolFact } from '../contract/batch.ts';
import { canonicalJson } from '../contract/canonical.ts';
import { processId, RULES_VERSION } from '../domain/cell.ts';
import type { StoredHour } from '../store/audit.ts';
import type { StoredBatch } from '../store/batches.ts';
import { StoreError } from '../store/errors.ts';
import type { LedgerReader } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { wholeOf } from './finding-state.ts';
import { readHourIn } from './load-hour.ts';
import { boundariesOf, computeNodeHour, type HourOfNode, watermarksOf } from './node-hour.ts';
import { type ChainCheck, createChainCheck } from './verify-chain.ts';
import { compareHour, type Difference, wrongSightings } from './verify-compare.ts';
import { verifyJournal, verifyMappings, verifyPolicies } from './verify-journal.ts';
import { createMinorCheck, type MinorCheck } from './verify-minors.ts';
import {
  add,
  addPart,
  divide,
  nothingFound,
  type VerifyDifference,
  type VerifyOptions,
  type VerifyPart,
  type VerifyParts,
  type VerifyThread,
} from './verify-parts.ts';
import { checkKeys, createSignatureCheck, type SignatureCheck } from './verify-signatures.ts';

/** What stands in place of a device where the index of processes is meant: no rules explain that. */
const INDEX = 'processes';

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
  /** Signatures that were checked; null: they were left apart. */
  readonly signatures: number | null;
  readonly differences: readonly VerifyDifference[];
  readonly differenceCount: number;
  /** What is wrong with batches, seals, streams and the journal, in words. */
  readonly chain: readonly string[];
}

export interface VerifyProgress {
  readonly doneHours: number;
  readonly totalHours: number;
}

/**
 * `store` must be opened for reading only: one state of it is held until the end. With `threads` nodes are divided
 * between them, each with a state of its own of the same file: what is booked meanwhile may be in some.
 */
export async function verify(
  store: Store,
  onProgress: (progress: VerifyProgress) => void,
  options: VerifyOptions = {},
  threads: readonly VerifyThread[] = [],
): Promise<VerifyReport> {
  await store.audit.begin();
  try {
    return await verifySnapshot(store, onProgress, options, threads);
  } finally {
    await store.audit.end();
  }
}

/** Verifies some nodes on one state of the store, opened for reading only. */
export async function verifyPart(
  store: Store,
  nodes: readonly number[],
  options: VerifyOptions,
  onHour: () => void,
): Promise<VerifyParts> {
  const parts = new Map<number, VerifyPart>();
  await store.audit.begin();
  try {
    for (const node of await store.audit.listNodes()) {
      if (!nodes.includes(node.node)) continue;
      const found = nothingFound(options);
      await verifyNode(store, node, options, found, onHour);
      parts.set(node.node, found);
    }
    return parts;
  } finally {
    await store.audit.end();
  }
}

async function verifySnapshot(
  store: Store,
  onProgress: (progress: VerifyProgress) => void,
  options: VerifyOptions,
  threads: readonly VerifyThread[],
): Promise<VerifyReport> {
  const found = nothingFound(options);
  const nodes = await store.audit.listNodes();
  const hours = new Map<number, number>();
  for (const { node } of nodes) hours.set(node, (await store.audit.listHours(node)).length);
  const totalHours = [...hours.values()].reduce((sum, count) => sum + count, 0);
  let doneHours = 0;
  const onHour = (): void => {
    doneHours += 1;
    onProgress({ doneHours, totalHours });
  };
  if (threads.length === 0) for (const node of nodes) await verifyNode(store, node, options, found, onHour);
  else {
    const lists = divide(hours, threads.length);
    const parts = await Promise.all(threads.map((thread, at) => thread(lists[at] ?? [], options, onHour)));
    const partOf = new Map(parts.flatMap((part) => [...part]));
    // In the order of one thread: the first difference is the same.
    for (const { node } of nodes) addPart(found, partOf.get(node) ?? nothingFound(options));
  }
  for (const what of await store.audit.checkSums())
    add(found, { kind: 'tampered', where: what, what: 'does not add up' });
  await verifyFindings(store, found);
  const journal = await verifyJournal(store);
  found.chain.push(...journal.problems, ...(await verifyPolicies(store, journal.policies)));
  found.chain.push(...(await verifyMappings(store, journal.mappings)));
  const clusters = [...new Set(nodes.map(({ cluster }) => cluster))];
  const keys = await Promise.all(clusters.map((cluster) => store.keys.list(cluster, null)));
  found.chain.push(...checkKeys(keys.flat(), journal.keys));
  const ok = found.chain.length === 0 && !found.differences.some((one) => one.kind === 'tampered');
  return { ok, nodes: nodes.length, ...found };
}

async function verifyNode(
  store: Store,
  { node, cluster, nodeName }: { node: number; cluster: string; nodeName: string },
  { signatures = true }: VerifyOptions,
  found: VerifyPart,
  onHour: () => void,
): Promise<void> {
  const trace: NodeTrace = {
    signatures: signatures ? createSignatureCheck(nodeName, await store.keys.list(cluster, nodeName)) : null,
    ...{ chain: createChainCheck(nodeName), told: new Set(), pending: new Set(), tools: null },
    minors: createMinorCheck(),
  };
  const known: Known = {
    // One state is held until the end, so what it has read once stays true.
    reader: await store.ledger.read((reader) => reader),
    policies: new Set(await store.audit.listPolicies()),
  };
  for (const hourMs of await store.audit.listHours(node)) {
    await verifyHour(store, { node, cluster, nodeName, hourMs }, known, trace, found);
    onHour();
    await nextTurn();
  }
  const streams = await store.audit.listStreams(node);
  found.chain.push(...trace.chain.finish(streams), ...(trace.signatures?.finish(streams) ?? []));
  if (found.signatures !== null) found.signatures += trace.signatures?.count ?? 0;
  if (canonicalJson(trace.tools) !== canonicalJson(await store.audit.readTools(node)))
    add(found, {
      kind: 'tampered',
      where: `node ${nodeName}, what its GPUs are read with`,
      what: 'is not what its agent listed last',
    });
  for (const { where, what } of trace.minors.finish(await store.audit.listMinors(node)))
    add(found, { kind: 'tampered', where: `node ${nodeName}, ${where}`, what });
  for (const { id, hours } of await store.audit.listProcessHours(node))
    if (hours.some((hourMs) => !trace.pending.has(hourMs) && !trace.told.has(`${id} ${hourMs}`)))
      add(found, {
        kind: 'tampered',
        where: `node ${nodeName}, ${id}`,
        what: 'no agent sent this process',
      });
}

type NodeHour = HourOfNode & { readonly node: number };

/** What all hours of a node are attributed by. */
interface Known {
  readonly reader: LedgerReader;
  /** Versions of policies that ever held. */
  readonly policies: ReadonlySet<number>;
}

/** What is gathered over all hours of a node. */
interface NodeTrace {
  readonly chain: ChainCheck;
  /** null: they are left apart. */
  readonly signatures: SignatureCheck | null;
  /** `<process> <hour>`: an agent described it then. */
  readonly told: Set<string>;
  /** Hours whose processes were not looked at. */
  readonly pending: Set<number>;
  readonly minors: MinorCheck;
  /** What its agent listed last as the files through which GPUs are read. */
  tools: readonly ToolFact[] | null;
}

async function verifyHour(
  store: Store,
  hour: NodeHour,
  known: Known,
  trace: NodeTrace,
  found: VerifyPart,
): Promise<void> {
  const where = `node ${hour.nodeName}, ${new Date(hour.hourMs).toISOString()}`;
  let batches: StoredBatch[];
  try {
    batches = await store.batches.readHour(hour);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    found.chain.push(`${where}: ${error.message}`);
    trace.pending.add(hour.hourMs);
    trace.minors.addUnread(hour.hourMs);
    return;
  }
  found.batches += batches.length;
  const stored = await store.audit.readStored(hour);
  found.cells += stored.cells.length;
  found.chain.push(...trace.chain.add(batches, stored.seal, hour.hourMs));
  found.chain.push(...(trace.signatures?.add(batches, hour.hourMs) ?? []));
  const bodies = parseBodies(batches);
  if (bodies === null || stored.pending) trace.pending.add(hour.hourMs);
  if (bodies === null) {
    trace.minors.addUnread(hour.hourMs);
    return;
  }
  trace.minors.add(bodies);
  // They come by their time, and of one time in the order of knowing.
  for (const { tools } of bodies) trace.tools = tools ?? trace.tools;
  for (const device of wrongSightings(stored.sightings, bodies))
    add(found, {
      kind: 'tampered',
      where: `${where}, ${device}`,
      what: 'inventories say another first sight',
    });
  if (stored.pending) {
    found.pending += 1;
    return;
  }
  const personal = await store.audit.checkPersonal(digestsOf(bodies));
  found.erased += personal.erased.length;
  for (const digest of personal.changed)
    found.chain.push(`${where}: the text behind digest ${digest} is not what the agent sent`);
  const erased = new Set(personal.erased);
  for (const { bootId, processes } of bodies)
    for (const { key } of processes) trace.told.add(`${processId(bootId, key)} ${hour.hourMs}`);
  for (const one of await compareStored(store, hour, known, bodies, stored)) {
    const kind = one.rules ? 'rules' : restsOn(one, erased, bodies) ? 'expired' : 'tampered';
    add(found, { kind, where: `${where}, ${one.device}`, what: one.text });
  }
  found.checked += stored.cells.length;
}

/** Whether only verdicts on processes differ, and the text of one of them is erased. */
function restsOn(
  { verdictsOn }: Difference,
  erased: ReadonlySet<string>,
  bodies: readonly BatchBody[],
): boolean {
  if (erased.size === 0) return false;
  const nameless = new Set<string>();
  for (const { bootId, processes } of bodies)
    for (const { key, personal } of processes)
      if (personal !== null && erased.has(personal)) nameless.add(processId(bootId, key));
  // A policy may judge where a process went by peers that are erased.
  for (const { bootId, connections } of bodies)
    for (const { process, personal } of connections)
      if (personal !== null && erased.has(personal)) nameless.add(processId(bootId, process));
  const named = verdictsOn.filter((process) => process !== null);
  return named.length > 0 && named.every((process) => nameless.has(process));
}

function parseBodies(batches: readonly StoredBatch[]): BatchBody[] | null {
  try {
    return batches.map((batch): BatchBody => batch.decoded ?? JSON.parse(batch.body));
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

interface HourDifference extends Difference {
  /** The cell was made by other rules or another policy than hold now. */
  readonly rules: boolean;
}

/** Attributes the hour as it was known when it was booked. */
async function compareStored(
  store: Store,
  hour: NodeHour,
  { reader, policies }: Known,
  bodies: readonly BatchBody[],
  stored: StoredHour,
): Promise<HourDifference[]> {
  const [first] = stored.cells;
  const loaded = readHourIn(reader, hour, bodies);
  const { facts } = loaded;
  const sources = await store.audit.readSources(hour.node, first?.factsSeq ?? facts.seq);
  const differences: Difference[] = [];
  const index = await store.audit.checkProcesses(hour, loaded.decoded.processes.values(), boundariesOf);
  for (const id of index)
    differences.push({ device: INDEX, text: `${id} is not as the agent sent it`, verdictsOn: [] });
  try {
    const result = computeNodeHour({
      ...loaded,
      sources: watermarksOf(sources, facts.policy, first?.computedAtMs ?? 0),
    });
    differences.push(...compareHour(stored, result));
    for (const text of await store.audit.checkConflicts(hour, result.conflicts))
      differences.push({ device: 'claims', text, verdictsOn: [] });
  } catch (error) {
    const text = `cannot be attributed again: ${error instanceof Error ? error.message : String(error)}`;
    differences.push({ device: 'all devices', text, verdictsOn: [] });
  }
  // Rules and policies that never were explain nothing.
  const explained = stored.cells.filter(
    ({ rulesVersion, policyVersion }) =>
      (rulesVersion >= 1 && rulesVersion < RULES_VERSION) ||
      (policyVersion !== facts.policy.version && policies.has(policyVersion)),
  );
  const every = explained.length > 0 && explained.length === stored.cells.length;
  return differences.map((one) => ({
    ...one,
    rules: one.device !== INDEX && (every || explained.some((cell) => cell.device === one.device)),
  }));
}

/** Findings whose whole is not what their parts give: a changed severity, one that was hidden. */
async function verifyFindings(store: Store, found: VerifyPart): Promise<void> {
  for (const id of await store.audit.listFindings()) {
    const known = (await store.ledger.read((reader) => reader.readFindings(0, [], [id]))).get(id);
    if (known === undefined) continue;
    const whole = wholeOf(known);
    const same = whole === null ? known.resolved : canonicalJson(whole) === canonicalJson(known.state);
    if (!same) add(found, { kind: 'tampered', where: `finding ${id}`, what: 'is not what its parts give' });
    await nextTurn();
  }
}
