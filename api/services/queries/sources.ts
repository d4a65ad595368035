/** GET /v1/sources: who declares jobs, how far, how each fares, and whose silence explains what has no job. */
import type { SourceList, SourceOut } from '../../contract/sources.ts';
import type { Questions, SourceRow } from '../../store/questions.ts';
import { ServiceError } from '../errors.ts';
import { isLagging, toSource, toTime } from './completeness.ts';

/** So many nodes that turn unaccounted once a source's record has stopped are that source's doing, more likely than not. */
const SUSPECT_NODES = 3;

export async function askSources(questions: Questions, nowMs: number): Promise<SourceList> {
  const { sources } = await questions.progress();
  const suspects = await suspectsOf(questions, sources, nowMs);
  return {
    items: sources.map((source) => ({ ...toSource(source, nowMs), suspect: suspects.get(source) ?? null })),
  };
}

/** PUT /v1/sources/{source}/{sourceInstance} answers with the one that it was about; throws where it is not known. */
export async function askSource(
  questions: Questions,
  { source, sourceInstance }: Pick<SourceOut, 'source' | 'sourceInstance'>,
  nowMs: number,
): Promise<SourceOut> {
  const { sources } = await questions.progress();
  const row = sources.find((one) => one.source === source && one.sourceInstance === sourceInstance);
  if (row === undefined)
    throw new ServiceError('not_found', `There is no source ${source}/${sourceInstance}`);
  const suspects = await suspectsOf(questions, [row], nowMs);
  return { ...toSource(row, nowMs), suspect: suspects.get(row) ?? null };
}

/** The sources that are suspect. Only of one whose record stopped anything is asked. */
export async function suspectsOf(
  questions: Questions,
  sources: readonly SourceRow[],
  nowMs: number,
): Promise<Map<SourceRow, NonNullable<SourceOut['suspect']>>> {
  const stopped = sources.flatMap((source) => {
    const sinceMs = stoppedSinceMs(source, nowMs);
    return sinceMs === null ? [] : [{ source, number: source.number, sinceMs }];
  });
  const rows = stopped.length === 0 ? [] : await questions.suspects(stopped);
  const found = new Map<SourceRow, NonNullable<SourceOut['suspect']>>();
  for (const [at, { source, sinceMs }] of stopped.entries()) {
    const row = rows[at];
    if (row !== undefined && row.nodes >= SUSPECT_NODES)
      found.set(source, { since: toTime(sinceMs), ...row });
  }
  return found;
}

/** Since when a scheduler's record does not go on; null: it does, or nobody ever waited for it. */
function stoppedSinceMs(source: SourceRow, nowMs: number): number | null {
  if (source.selfDeclared) return null;
  const { health } = toSource(source, nowMs);
  const fails = health !== null && (health.state === 'failing' || health.silent);
  if (!fails && (source.completeToMs === null || !isLagging(source, nowMs))) return null;
  return source.completeToMs ?? source.health?.lastSuccessMs ?? source.health?.sinceMs ?? null;
}
