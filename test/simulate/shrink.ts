/**
 * Makes a failing scenario smaller by taking parts out of it, one kind after another, as long as the same rule fails.
 * What is left is what a person has to look at.
 */
import { build, ScenarioError } from '../replay/build.ts';
import { Scenario } from '../replay/format.ts';
import type { Failure, Rule } from './judge.ts';
import type { Document, Part } from './site.ts';

/** What a smaller scenario comes to: the failures of playing it. */
export type Try = (document: Document) => Promise<readonly Failure[]>;

export interface Shrunk {
  readonly document: Document;
  readonly failures: readonly Failure[];
  /** How many smaller ones were played. */
  readonly tries: number;
}

/** Stops after so many tries, or when `isOver` says so. */
const MAX_TRIES = 150;

export async function shrink(
  document: Document,
  failures: readonly Failure[],
  attempt: Try,
  isOver: () => boolean = () => false,
): Promise<Shrunk> {
  const rules = new Set(failures.map(({ rule }) => rule));
  let best: Shrunk = { document, failures, tries: 0 };
  let tries = 0;
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (const smaller of smallerOnes(best.document)) {
      if (tries >= MAX_TRIES || isOver()) return { ...best, tries };
      if (!isScenario(smaller)) continue;
      tries += 1;
      const found = await attempt(smaller);
      if (!sameRule(found, rules)) continue;
      best = { document: smaller, failures: found, tries };
      isSmaller = true;
      break;
    }
  }
  return { ...best, tries };
}

const sameRule = (failures: readonly Failure[], rules: ReadonlySet<Rule>): boolean =>
  failures.some(({ rule }) => rules.has(rule));

function isScenario(document: Document): boolean {
  const read = Scenario.safeParse(document);
  if (!read.success) return false;
  try {
    build(read.data);
    return true;
  } catch (error) {
    if (error instanceof ScenarioError) return false;
    throw error;
  }
}

/** The largest parts first: nodes, jobs with their processes, processes with their children, faults, then details. */
function* smallerOnes(document: Document): Generator<Document> {
  const { nodes = {}, jobs = {}, processes = {}, faults = [] } = document;
  if (Object.keys(nodes).length > 1) for (const name of Object.keys(nodes)) yield withoutNode(document, name);
  for (const name of Object.keys(jobs)) yield withoutJob(document, name);
  for (const name of Object.keys(processes)) yield withoutProcess(document, name);
  for (const at of faults.keys()) yield { ...document, faults: faults.toSpliced(at, 1) };
  const { policy: _policy, ...unruled } = document;
  if (document.policy !== undefined) yield unruled;
  const { feeds: _feeds, ...unfed } = document;
  if (document.feeds !== undefined) yield unfed;
  for (const [name, job] of Object.entries(jobs)) {
    const { known, endKnown, revisions, copies, ...plain } = job;
    const again = (more: Part<'jobs'>): Document => ({
      ...document,
      jobs: { ...jobs, [name]: { ...plain, ...more } },
    });
    if (revisions !== undefined && revisions.length > 0) yield again({ known, endKnown, copies });
    if (known !== undefined && known !== 0 && job.source !== 'api')
      yield again({ endKnown, revisions, copies });
    if (endKnown !== undefined && endKnown !== 0) yield again({ known, revisions, copies });
  }
  for (const [name, process] of Object.entries(processes)) {
    if (process.changes === undefined || process.changes.length === 0) continue;
    const { changes: _changes, ...plain } = process;
    yield { ...document, processes: { ...processes, [name]: plain } };
  }
}

const without = <T>(
  record: Readonly<Record<string, T>> | undefined,
  names: ReadonlySet<string>,
): Record<string, T> => Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => !names.has(name)));

/** Without a node and everything that is on it. */
function withoutNode(document: Document, node: string): Document {
  const gone = Object.entries(document.processes ?? {}).filter(([, process]) => process.node === node);
  const jobs = Object.entries(document.jobs ?? {}).filter(([, job]) => node in (job.on ?? {}));
  let left: Document = { ...document, nodes: without(document.nodes, new Set([node])) };
  for (const [name] of jobs) left = withoutJob(left, name);
  for (const [name] of gone) left = withoutProcess(left, name);
  return {
    ...left,
    faults: (left.faults ?? []).filter((fault) => !('node' in fault) || fault.node !== node),
  };
}

/** Without a job and everybody who computes for it. */
function withoutJob(document: Document, job: string): Document {
  const own = Object.entries(document.processes ?? {}).filter(
    ([, process]) => process.job === job || process.truthJob === job,
  );
  let left: Document = { ...document, jobs: without(document.jobs, new Set([job])) };
  for (const [name] of own) left = withoutProcess(left, name);
  return left;
}

/** Without a process, its children, and what jobs say of it. */
function withoutProcess(document: Document, process: string): Document {
  const gone = new Set([process]);
  for (let before = 0; before !== gone.size; ) {
    before = gone.size;
    for (const [name, { parent }] of Object.entries(document.processes ?? {}))
      if (parent !== undefined && gone.has(parent)) gone.add(name);
  }
  const rooted = Object.entries(document.jobs ?? {}).filter(
    ([, { root }]) => root !== undefined && gone.has(root),
  );
  const left = { ...document, processes: without(document.processes, gone) };
  return { ...left, jobs: without(left.jobs, new Set(rooted.map(([name]) => name))) };
}
