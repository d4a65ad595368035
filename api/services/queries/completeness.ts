/** How complete an answer is, in the words of the contract. */

import type { Completeness } from '../../contract/primitives.ts';
import type { SourceOut } from '../../contract/sources.ts';
import { DEFAULT_POLICY } from '../../domain/policy.ts';
import type { NodeProgress, ProgressFacts, SourceRow } from '../../store/questions.ts';

const LAGGING_NODES_MAX = 100;
/** Reports that end further back than this lag: the node's clock is behind, or it still sends what it had kept. */
const NODE_LAG_MS = 15 * 60_000;
/** A scheduler's record that is further behind than this lags. */
const SOURCE_LAG_MS = 15 * 60_000;
/** A runner says how its source fares every half minute; one that has not for so long is gone. */
const RUNNER_SILENT_MS = 3 * 60_000;

export const toTime = (ms: number): string => new Date(ms).toISOString();
export const toTimeOrNull = (ms: number | null): string | null => (ms === null ? null : toTime(ms));

/** An agent is silent while time is being booked that it did not report. */
export const isSilent = (node: Pick<NodeProgress, 'completeToMs' | 'silentToMs'>): boolean =>
  node.completeToMs !== null && node.silentToMs !== null && node.silentToMs > node.completeToMs;

/** The end of what is booked of a node; null: nothing is. */
function bookedToMs(
  node: Pick<NodeProgress, 'completeToMs' | 'silentToMs' | 'waitingFromMs'>,
): number | null {
  if (node.completeToMs === null && node.silentToMs === null) return null;
  const known = Math.max(node.completeToMs ?? 0, node.silentToMs ?? 0);
  return node.waitingFromMs === null ? known : Math.min(known, node.waitingFromMs);
}

/** Up to when a source has declared everything; a self-declaration may come until the policy's wait has passed. */
export const sourceCompleteToMs = (source: SourceRow, nowMs: number): number | null =>
  source.selfDeclared ? nowMs - DEFAULT_POLICY.selfDeclarationWaitMs : source.completeToMs;

export function isLagging(source: SourceRow, nowMs: number): boolean {
  const completeToMs = sourceCompleteToMs(source, nowMs);
  return completeToMs === null || nowMs - completeToMs > SOURCE_LAG_MS;
}

/** Everything before this is booked on every node that the fleet has; null before the first. */
export function completeToMs(facts: ProgressFacts): number | null {
  const booked = facts.nodes.flatMap((node) => bookedToMs(node) ?? []);
  return booked.length === 0 ? null : Math.min(...booked);
}

export function completeness(facts: ProgressFacts, nowMs: number): Completeness {
  const complete = completeToMs(facts);
  const settled =
    complete === null || facts.provisionalFromMs === null
      ? complete
      : Math.min(complete, facts.provisionalFromMs);
  return {
    completeTo: toTimeOrNull(complete),
    settledTo: toTimeOrNull(settled),
    laggingNodes: facts.nodes
      .filter((node) => isSilent(node) || (node.completeToMs ?? nowMs) < nowMs - NODE_LAG_MS)
      .map((node) => node.name)
      .slice(0, LAGGING_NODES_MAX),
    laggingSources: facts.sources
      .filter((source) => isLagging(source, nowMs))
      .map((source) => `${source.source}/${source.sourceInstance}`),
    pendingCells: facts.pendingCells,
  };
}

function healthOf({ health }: SourceRow, nowMs: number): SourceOut['health'] {
  if (health === null) return null;
  return {
    state: health.state,
    since: toTime(health.sinceMs),
    lastSuccess: toTimeOrNull(health.lastSuccessMs),
    reportedAt: toTime(health.reportedAtMs),
    silent: health.state !== 'stopped' && nowMs - health.reportedAtMs > RUNNER_SILENT_MS,
    problems: health.problems.map(({ atMs, subject, message }) => ({ at: toTime(atMs), subject, message })),
    problemCount: health.problemCount,
  };
}

/** What a source's answer says but for whether it is suspect. */
export function toSource(source: SourceRow, nowMs: number): Omit<SourceOut, 'suspect'> {
  const complete = sourceCompleteToMs(source, nowMs);
  return {
    source: source.source,
    sourceInstance: source.sourceInstance,
    selfDeclared: source.selfDeclared,
    completeTo: toTimeOrNull(complete),
    lagMs: complete === null ? null : Math.max(0, nowMs - complete),
    lagging: isLagging(source, nowMs),
    jobs: source.jobs,
    lastHeard: toTime(source.lastHeardMs),
    health: healthOf(source, nowMs),
  };
}
