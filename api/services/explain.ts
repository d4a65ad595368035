/**
 * The derivation of a cell or a finding, step by step, so that one number can be followed by hand: what was reported, who
 * held the device, what each process was tied to and how it was judged, and what was booked. Reads only.
 */
import { type BatchBody, HOUR_MS } from '../contract/batch.ts';
import { candidatesOf, statesDevice } from '../domain/candidates.ts';
import { type Entry, type ObservedProcess, RULES_VERSION } from '../domain/cell.ts';
import { gapsOf, spansOf } from '../domain/decode.ts';
import type { Interval } from '../domain/interval.ts';
import type { Holding, Job } from '../domain/job.ts';
import { executablePath, lineageOf } from '../domain/process.ts';
import { awaitsRecord, type Judge } from '../domain/verdict.ts';
import type { StoredBatch } from '../store/batches.ts';
import type { Store } from '../store/store.ts';
import { ServiceError } from './errors.ts';
import { type LoadedHour, readHourOf } from './load-hour.ts';
import { computeNodeHour, type HourOfNode, placeNodeHour, watermarksOf } from './node-hour.ts';

export interface CellKey {
  readonly device: string;
  /** Start of its UTC hour. */
  readonly hourMs: number;
}

/** All times are milliseconds since 1970 UTC. */
export interface CellExplanation extends CellKey {
  readonly node: string;
  /** What the agent sent for the node and hour, one row a stream. */
  readonly batches: readonly StreamPart[];
  readonly bookedToMs: number;
  readonly capacity: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly holdings: readonly (Omit<Holding, 'device' | 'job'> & { readonly job: string })[];
  readonly spans: readonly {
    readonly fromMs: number;
    readonly toMs: number;
    readonly activeMs: number | null;
    readonly method: string;
    readonly tenants: readonly {
      readonly process: string;
      readonly type: string;
      readonly activeMs: number | null;
    }[];
  }[];
  readonly gaps: readonly { readonly fromMs: number; readonly toMs: number; readonly reason: string }[];
  readonly processes: readonly ProcessSteps[];
  readonly entries: readonly (Omit<Entry, 'holder' | 'job'> & {
    readonly holder: string | null;
    readonly job: string | null;
  })[];
  readonly capacityMs: number;
  /** The same cell as it is stored; null: not stored. */
  readonly stored: {
    readonly capacityMs: number;
    readonly entriesMs: number;
    readonly rulesVersion: number;
  } | null;
  readonly rulesVersion: number;
  readonly policyVersion: number;
}

interface StreamPart {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly batches: number;
  readonly lastHash: string;
}

interface ProcessSteps {
  readonly process: string;
  readonly pid: number;
  readonly comm: string;
  readonly executable: string | null;
  readonly user: string | null;
  /** The kernel boundary that it is in, and the jobs that each kind of evidence names. */
  readonly boundary: string | null;
  readonly ties: readonly { readonly evidence: string; readonly jobs: readonly string[] }[];
  readonly contradictions: readonly string[];
  /** From when on it was judged how, on this device. */
  readonly verdicts: readonly Step[];
  /** Where it is unaccounted: every job in question, and the first test that it fails. */
  readonly candidates: readonly { readonly job: string; readonly why: string }[];
}

interface Step {
  readonly fromMs: number;
  /** null: used by `job`. */
  readonly reason: string | null;
  readonly job: string | null;
  readonly evidence: string | null;
  readonly provisional: boolean;
  readonly suspicious: boolean;
}

export interface FindingExplanation {
  readonly finding: string;
  /** One row for each cell, process, reason and holder that gives time to it. */
  readonly rows: readonly (CellKey & {
    readonly node: string;
    readonly process: string | null;
    readonly reason: string;
    readonly evidence: string | null;
    readonly insideJob: string | null;
    readonly holder: string | null;
    readonly activeMs: number;
    readonly residentMs: number;
    readonly leastMs: number;
    readonly mostMs: number;
  })[];
  readonly activeMs: number;
  readonly residentMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
}

/** `store` must be opened for reading only. Throws `ServiceError` `not_found`. */
export async function explainCell(store: Store, key: CellKey, nowMs: number): Promise<CellExplanation> {
  const { hour, facts } = await findDevice(store, key);
  const stored = await store.batches.readHour(hour);
  const bodies = stored.map((batch): BatchBody => JSON.parse(batch.body));
  const loaded = await readHourOf(store, hour, bodies);
  const inputs = { ...loaded, sources: watermarksOf(facts.sources, facts.policy, nowMs) };
  const placed = placeNodeHour(inputs);
  const { judge, holdings } = placed;
  const cell = computeNodeHour(inputs, placed).cells.find((one) => one.device === key.device);
  const spans = spansOf(loaded.decoded, key.device);
  const own = holdings.filter((holding) => holding.device === key.device);
  const nameOf = (id: string | null): string | null => nameOfJob(loaded.jobs, id);
  const written = (await store.audit.readStored(hour)).cells.find((one) => one.device === key.device);
  const tenants = new Set(spans.flatMap((span) => span.tenants.map((tenant) => tenant.process)));
  return {
    ...key,
    node: hour.nodeName,
    batches: streamParts(stored),
    bookedToMs: cell?.bookedToMs ?? hour.hourMs,
    capacity: facts.devices.find((one) => one.device === key.device)?.capacity ?? [],
    holdings: own.map(({ job, fromMs, toMs, shareMilli, assumed }) => ({
      ...{ job: nameOf(job) ?? job, fromMs, toMs, shareMilli, assumed },
    })),
    spans: spans.map(({ fromMs, toMs, activeMs, method, tenants: here }) => ({
      ...{ fromMs, toMs, activeMs, method },
      tenants: here.map(({ process, type, activeMs: share }) => ({ process, type, activeMs: share })),
    })),
    gaps: gapsOf(loaded.decoded, key.device).map(({ fromMs, toMs, reason }) => ({ fromMs, toMs, reason })),
    processes: [...tenants].flatMap((id) => {
      const process = loaded.processes.get(id);
      if (process === undefined) return [];
      const type = spans.flatMap((span) => span.tenants).find((one) => one.process === id)?.type ?? '?';
      const steps = stepsOf(process, type, judge, own, loaded.jobs, momentsOf(process, spans, own));
      const times = spans.filter((span) => span.tenants.some((tenant) => tenant.process === id));
      const use = { ...key, node: hour.nodeName, process, steps, times, holdings };
      return [{ ...steps, candidates: whyNone(use, judge, loaded) }];
    }),
    entries: (cell?.entries ?? []).map((entry) => ({
      ...entry,
      ...{ holder: nameOf(entry.holder), job: nameOf(entry.job) },
    })),
    capacityMs: cell?.capacityMs ?? 0,
    stored:
      written === undefined
        ? null
        : {
            capacityMs: written.capacityMs,
            entriesMs: written.entries.reduce((sum, entry) => sum + entry.ms, 0),
            rulesVersion: written.rulesVersion,
          },
    rulesVersion: RULES_VERSION,
    policyVersion: facts.policy.version,
  };
}

/** Throws `ServiceError` `not_found`. `firstMs` and `lastMs`: when the finding was seen. */
export async function explainFinding(
  store: Store,
  finding: string,
  seen: {
    readonly node: number;
    readonly nodeName: string;
    readonly firstMs: number;
    readonly lastMs: number;
  },
): Promise<FindingExplanation> {
  const rows: FindingExplanation['rows'][number][] = [];
  const lastHourMs = Math.floor(seen.lastMs / HOUR_MS) * HOUR_MS;
  for (let hourMs = Math.floor(seen.firstMs / HOUR_MS) * HOUR_MS; hourMs <= lastHourMs; hourMs += HOUR_MS) {
    const { parts } = await store.audit.readStored({ node: seen.node, hourMs });
    for (const part of parts)
      if (part.finding === finding)
        rows.push({
          ...{ node: seen.nodeName, device: part.device, hourMs, process: part.process, reason: part.reason },
          ...{ evidence: part.evidence, insideJob: part.job, holder: part.holder },
          ...{ activeMs: part.activeMs, residentMs: part.residentMs },
          ...{ leastMs: part.leastMs, mostMs: part.mostMs },
        });
  }
  return {
    ...{ finding, rows },
    activeMs: rows.reduce((sum, row) => sum + row.activeMs, 0),
    residentMs: rows.reduce((sum, row) => sum + row.residentMs, 0),
    leastMs: rows.reduce((sum, row) => sum + row.leastMs, 0),
    mostMs: rows.reduce((sum, row) => sum + row.mostMs, 0),
  };
}

async function findDevice(store: Store, { device, hourMs }: CellKey) {
  for (const { node, cluster, nodeName } of await store.audit.listNodes()) {
    const hour: HourOfNode & { node: number } = { node, cluster, nodeName, hourMs };
    const facts = await store.ledger.read((reader) => reader.readFacts(hour));
    if (facts.devices.some((one) => one.device === device)) return { hour, facts };
  }
  throw new ServiceError('not_found', `no device ${device} had capacity in that hour`);
}

function streamParts(batches: readonly StoredBatch[]): StreamPart[] {
  return [...Map.groupBy(batches, (batch) => batch.stream).values()].flatMap((own) => {
    const sorted = [...own].sort((a, b) => a.number - b.number);
    const [first] = sorted;
    const last = sorted.at(-1);
    if (first === undefined || last === undefined) return [];
    return [{ firstSeq: first.number, lastSeq: last.number, batches: own.length, lastHash: last.hash }];
  });
}

function nameOfJob(jobs: readonly Job[], id: string | null): string | null {
  const job = jobs.find((one) => one.id === id);
  return job === undefined ? id : `${job.source} ${job.externalId}`;
}

/** When the verdict on a process could change: its spans, the device's holdings, and what it executed. */
function momentsOf(
  { id, executions = [] }: ObservedProcess,
  spans: ReturnType<typeof spansOf>,
  holdings: readonly Holding[],
): number[] {
  const edges = [
    ...holdings.flatMap((holding) => [holding.fromMs, holding.toMs]),
    ...executions.map((one) => one.fromMs),
  ];
  const moments = new Set<number>();
  for (const { fromMs, toMs, tenants } of spans) {
    if (!tenants.some((tenant) => tenant.process === id)) continue;
    moments.add(fromMs);
    for (const edge of edges) if (edge > fromMs && edge < toMs) moments.add(edge);
  }
  return [...moments].sort((a, b) => a - b);
}

function stepsOf(
  process: ObservedProcess,
  type: string,
  judge: Judge,
  holdings: readonly Holding[],
  jobs: readonly Job[],
  moments: readonly number[],
): Omit<ProcessSteps, 'candidates'> {
  const ties = judge.tiesOf(process.id);
  const verdicts: Step[] = [];
  for (const atMs of moments) {
    const holders = jobs.filter((job) =>
      holdings.some((one) => one.job === job.id && one.fromMs <= atMs && atMs < one.toMs),
    );
    const verdict = judge.judge(process.id, atMs, holders, type);
    const { reason, job, evidence } = verdict;
    const provisional = awaitsRecord(verdict, atMs);
    const suspicious = verdict.reason === null && verdict.suspicious;
    const step = {
      ...{ fromMs: atMs, reason, job: nameOfJob(jobs, job?.id ?? null), evidence, provisional, suspicious },
    };
    const last = verdicts.at(-1);
    if (last === undefined || JSON.stringify({ ...last, fromMs: atMs }) !== JSON.stringify(step))
      verdicts.push(step);
  }
  return {
    process: process.id,
    pid: process.pid,
    comm: process.comm,
    executable: process.executable === null ? null : executablePath(process.executable),
    user: process.user,
    boundary: ties.owner?.boundary ?? null,
    ties: ties.ties.map((tie) => ({
      evidence: tie.evidence,
      jobs: tie.jobs.map((job) => `${job.source} ${job.externalId}`),
    })),
    contradictions: ties.contradictions,
    verdicts,
  };
}

interface Use extends CellKey {
  readonly node: string;
  readonly process: ObservedProcess;
  readonly steps: Pick<ProcessSteps, 'verdicts'>;
  readonly times: readonly Interval[];
  readonly holdings: readonly Holding[];
}

/** Why none of the jobs near a process covers what it did in the cell; none where all of it is used. */
function whyNone(use: Use, judge: Judge, { jobs, processes, facts }: LoadedHour): ProcessSteps['candidates'] {
  const { device, node, process, steps, times, holdings } = use;
  const against = steps.verdicts.find((step) => step.reason !== null);
  const last = times.at(-1);
  if (against === undefined || last === undefined) return [];
  const ties = judge.tiesOf(process.id);
  const summary = { firstMs: against.fromMs, lastMs: last.toMs };
  const named = new Set([...ties.ties.flatMap((tie) => tie.jobs), ...ties.claimed].map((job) => job.id));
  for (const { job, fromMs, toMs } of holdings)
    if (fromMs < summary.lastMs && toMs > summary.firstMs) named.add(job);
  const span = { fromMs: summary.firstMs, toMs: summary.lastMs };
  return candidatesOf({
    jobs: jobs.filter((job) => named.has(job.id) || statesDevice(job, node, [device], span)),
    ...{ holdings, deviceUuids: [device], node, ties, policy: facts.policy },
    lineage: [...lineageOf(process, processes)],
    summary: {
      ...summary,
      insideJob: jobs.find((job) => nameOfJob(jobs, job.id) === against.job)?.id ?? null,
    },
  }).map(({ job, why }) => ({ job: `${job.source} ${job.externalId}`, why }));
}
