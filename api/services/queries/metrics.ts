/** The figures behind /metrics. */
import type { Sums } from '../../contract/ledger.ts';
import type { FindingCountRow, Questions } from '../../store/questions.ts';
import { completeToMs, isSilent, sourceCompleteToMs, toSource } from './completeness.ts';
import { suspectsOf } from './sources.ts';

export interface MetricsAnswer {
  readonly month: readonly { readonly model: string; readonly bucket: string; readonly ms: number }[];
  readonly findings: readonly FindingCountRow[];
  readonly agents: readonly {
    readonly node: string;
    readonly lastHeardAgeMs: number;
    readonly silent: boolean;
  }[];
  readonly sources: readonly { readonly source: string; readonly instance: string; readonly lagMs: number }[];
  /** Of sources that somebody runs. */
  readonly runners: readonly {
    readonly source: string;
    readonly instance: string;
    readonly failing: boolean;
    readonly problems: number;
  }[];
  /** Whose silence explains what has no job. */
  readonly suspects: readonly {
    readonly source: string;
    readonly instance: string;
    readonly nodes: number;
  }[];
  readonly conflictingClaims: number;
  readonly dirtyNodeHours: number;
  readonly completeToMs: number | null;
}

const BUCKET_COLUMNS = {
  used: 'usedMs',
  held: 'heldMs',
  unaccounted: 'unaccountedMs',
  idle: 'idleMs',
  unobserved: 'unobservedMs',
} as const satisfies Record<string, keyof Sums>;

export async function askMetrics(questions: Questions, nowMs: number): Promise<MetricsAnswer> {
  const now = new Date(nowMs);
  const facts = await questions.metrics(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1), nowMs);
  const suspects = await suspectsOf(questions, facts.progress.sources, nowMs);
  return {
    month: facts.month.flatMap((row) =>
      Object.entries(BUCKET_COLUMNS).map(([bucket, column]) => ({
        model: String(row.group[0]),
        bucket,
        ms: row[column],
      })),
    ),
    findings: facts.findings,
    agents: facts.progress.nodes.flatMap((node) =>
      node.lastHeardMs === null
        ? []
        : [
            {
              node: node.name,
              lastHeardAgeMs: Math.max(0, nowMs - node.lastHeardMs),
              silent: isSilent(node),
            },
          ],
    ),
    sources: facts.progress.sources.flatMap((source) => {
      const completeToMs = sourceCompleteToMs(source, nowMs);
      return completeToMs === null
        ? []
        : [
            {
              source: source.source,
              instance: source.sourceInstance,
              lagMs: Math.max(0, nowMs - completeToMs),
            },
          ];
    }),
    runners: facts.progress.sources.flatMap((row) => {
      const { source, sourceInstance: instance, health } = toSource(row, nowMs);
      if (health === null) return [];
      const failing = health.state === 'failing' || health.silent;
      return [{ source, instance, failing, problems: health.problemCount }];
    }),
    suspects: [...suspects].map(([{ source, sourceInstance: instance }, { nodes }]) => {
      return { source, instance, nodes };
    }),
    conflictingClaims: facts.conflictingClaims,
    dirtyNodeHours: facts.dirtyNodeHours,
    completeToMs: completeToMs(facts.progress),
  };
}
