/**
 * What the agent still has to tell, and telling it: joins spans with the facts that they need, cuts batches and puts
 * them on disk. What cannot be written becomes a debt: time that a later batch reports as not measured.
 */
import {
  type AgentProblem,
  BATCH_LIMITS,
  type DeviceFact,
  type Gap,
  type GapReason,
  HOUR_MS,
  type HostFact,
  type PersonalRecord,
  type ProcessFact,
  type ToolFact,
} from '../api/contract/batch.ts';
import type { GrantsFact } from '../api/contract/grants.ts';
import { type Content, makeBatches, type Observations, type Sender } from './batch.ts';
import type { Taken } from './spans.ts';
import type { Spool } from './spool.ts';

/** Facts that wait for a batch; a machine that makes more of them while nothing can be written loses the rest. */
const MAX_PENDING_FACTS = 4 * BATCH_LIMITS.processes;
/** An unchanged problem is told again after this long. */
const PROBLEM_REPEAT_MS = HOUR_MS;
/** Of a longer debt only the newest part is told; the service sees the rest as silence. */
const MAX_DEBT_MS = 24 * HOUR_MS;
const MAX_DEBTS = 64;

export interface Facts<T> {
  readonly facts: readonly T[];
  readonly personal: readonly PersonalRecord[];
}

/** Where the facts of the moment come from. */
export interface ReportSources {
  sender(): Sender;
  inventory(): readonly DeviceFact[];
  liveFacts(): Facts<ProcessFact>;
  /** null: not looked at yet. */
  tools(): readonly ToolFact[] | null;
  host(): HostFact | null;
  grants(): GrantsFact | null;
}

export type Stretch = Pick<Taken, 'fromMs' | 'toMs' | 'tenancies' | 'gaps' | 'clockSteps'>;

const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS);

export class Report {
  readonly #spool: Spool;
  readonly #sources: ReportSources;
  #facts = new Map<string, ProcessFact>();
  #observations = nothingSeen();
  #personal = new Map<string, PersonalRecord>();
  #problems: AgentProblem[] = [];
  #told = new Map<string, number>();
  #debts: Gap[] = [];
  /** The stream and hour whose inventory, tools and live processes have been told: "<stream>/<hour>". */
  #inventoryTold = '';
  #toolsTold = '';
  #factsTold = '';
  #hostTold = '';
  #grantsTold = '';
  /** Why the last append failed; null when it did not. */
  #refusal: string | null = null;

  constructor(spool: Spool, sources: ReportSources) {
    this.#spool = spool;
    this.#sources = sources;
  }

  get refusal(): string | null {
    return this.#refusal;
  }

  addFacts({ facts, personal }: Facts<ProcessFact>): void {
    for (const fact of facts)
      if (this.#facts.has(fact.key) || this.#facts.size < MAX_PENDING_FACTS) this.#facts.set(fact.key, fact);
    this.#addPersonal(personal);
  }

  addObservations(seen: Partial<Observations>, personal: readonly PersonalRecord[] = []): void {
    const { connections = [], accounted = [], holders = [], dials = [], integrity = [] } = seen;
    const pending = this.#observations;
    addUpTo(BATCH_LIMITS.connections, pending.connections, connections);
    addUpTo(BATCH_LIMITS.accounted, pending.accounted, accounted);
    addUpTo(BATCH_LIMITS.holders, pending.holders, holders);
    addUpTo(BATCH_LIMITS.dials, pending.dials, dials);
    addUpTo(BATCH_LIMITS.integrity, pending.integrity, integrity);
    this.#addPersonal(personal);
  }

  /** Once an hour for the same words. True: these are new. */
  addProblem(atMs: number, source: string, message: string): boolean {
    const key = `${source}\n${message}`;
    const toldMs = this.#told.get(key);
    if (toldMs !== undefined && Math.abs(atMs - toldMs) < PROBLEM_REPEAT_MS) return false;
    if (this.#told.size >= BATCH_LIMITS.problems) this.#told.clear();
    if (this.#problems.length >= BATCH_LIMITS.problems) return false;
    this.#told.set(key, atMs);
    this.#problems.push({
      atMs: Math.round(atMs),
      source: source.slice(0, BATCH_LIMITS.nameChars),
      message: message.slice(0, BATCH_LIMITS.detailChars),
    });
    return true;
  }

  /** The next batch carries the inventory again. */
  inventoryChanged(): void {
    this.#inventoryTold = '';
  }

  /** The next batch carries the tools again. */
  toolsChanged(): void {
    this.#toolsTold = '';
  }

  /** The next batch carries what the kubelet gave again. */
  grantsChanged(): void {
    this.#grantsTold = '';
  }

  /** Time of the whole node that a later batch has to report as not measured. */
  owe(fromMs: number, toMs: number, reason: GapReason, detail: string): void {
    const last = this.#debts.at(-1);
    const joins = last !== undefined && last.reason === reason && last.toMs === fromMs;
    if (joins) this.#debts.pop();
    const beginMs = Math.max(joins ? last.fromMs : fromMs, toMs - MAX_DEBT_MS);
    if (toMs > beginMs)
      this.#debts.push({
        device: null,
        fromMs: beginMs,
        toMs,
        reason,
        detail: detail.slice(0, BATCH_LIMITS.detailChars),
      });
    if (this.#debts.length > MAX_DEBTS) this.#debts.shift();
  }

  /** Writes debts, then the stretch. What cannot be written is owed. True: all of it is on disk. */
  write(stretch: Stretch): boolean {
    if (this.#payDebts() && this.#writeStretch(stretch)) {
      this.#refusal = null;
      return true;
    }
    this.owe(stretch.fromMs, stretch.toMs, 'spool_full', this.#refusal ?? 'the spool refused');
    return false;
  }

  #payDebts(): boolean {
    for (let gap = this.#debts[0]; gap !== undefined; gap = this.#debts[0]) {
      const toMs = Math.min(gap.toMs, (hourOf(gap.fromMs) + 1) * HOUR_MS);
      const { place, inventory } = this.#inventoryFor(gap.fromMs);
      const content = { ...EMPTY, fromMs: gap.fromMs, toMs, inventory, gaps: [{ ...gap, toMs }] };
      if (!this.#append(content)) return false;
      this.#inventoryTold = place;
      if (toMs === gap.toMs) this.#debts.shift();
      else this.#debts[0] = { ...gap, fromMs: toMs };
    }
    return true;
  }

  #writeStretch(stretch: Stretch): boolean {
    const { place, inventory } = this.#inventoryFor(stretch.fromMs);
    if (this.#factsTold !== place) this.addFacts(this.#sources.liveFacts());
    const tools = this.#toolsTold === place ? null : this.#sources.tools();
    const host = this.#hostTold === place ? null : this.#sources.host();
    const grants = this.#grantsTold === place ? null : this.#sources.grants();
    const done = this.#append({
      ...stretch,
      inventory,
      processes: [...this.#facts.values()],
      observations: this.#observations,
      tools,
      host,
      grants,
      problems: this.#problems,
      personal: [...this.#personal.values()],
    });
    if (!done) {
      // Some of it may be lost with a batch that could not be written: the next one tells everything again.
      this.#factsTold = '';
      this.#hostTold = '';
      this.#toolsTold = '';
      this.#grantsTold = '';
      return false;
    }
    this.#inventoryTold = place;
    this.#factsTold = place;
    if (tools !== null) this.#toolsTold = place;
    if (host !== null) this.#hostTold = place;
    if (grants !== null) this.#grantsTold = place;
    this.#facts.clear();
    this.#observations = nothingSeen();
    this.#personal.clear();
    this.#problems = [];
    return true;
  }

  #inventoryFor(atMs: number): { place: string; inventory: readonly DeviceFact[] | null } {
    const place = `${this.#spool.head().stream}/${hourOf(atMs)}`;
    return { place, inventory: this.#inventoryTold === place ? null : this.#sources.inventory() };
  }

  #append(content: Content): boolean {
    for (const batch of makeBatches(content, this.#sources.sender(), this.#spool.head())) {
      const appended = this.#spool.append(batch);
      if (appended.ok) continue;
      this.#refusal = appended.detail;
      return false;
    }
    return true;
  }

  #addPersonal(records: readonly PersonalRecord[]): void {
    for (const record of records)
      if (this.#personal.size < 2 * MAX_PENDING_FACTS) this.#personal.set(record.digest, record);
  }
}

const nothingSeen = (): { -readonly [List in keyof Observations]: Observations[List][number][] } => ({
  connections: [],
  accounted: [],
  holders: [],
  dials: [],
  integrity: [],
});

const addUpTo = <T>(limit: number, to: T[], items: readonly T[]): void => {
  to.push(...items.slice(0, limit - to.length));
};

const EMPTY: Omit<Content, 'fromMs' | 'toMs'> = {
  inventory: null,
  processes: [],
  tenancies: [],
  gaps: [],
  observations: nothingSeen(),
  tools: null,
  host: null,
  grants: null,
  clockSteps: [],
  problems: [],
  personal: [],
};
