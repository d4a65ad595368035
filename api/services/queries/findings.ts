/** GET /v1/findings: the list, page by page. */
import { z } from 'zod';
import type { Finding, FindingList, FindingsQuery } from '../../contract/findings.ts';
import type { Caller } from '../../domain/caller.ts';
import { scoreOf } from '../../domain/signals/registry.ts';
import type { FindingRow } from '../../store/finding-questions.ts';
import { type Questions, scopeOf } from '../../store/questions.ts';
import { toTime, toTimeOrNull } from './completeness.ts';
import { cutPage, decodeCursor, searchText } from './page.ts';
import { moneyOf } from './value.ts';

const Position = z.tuple([z.number(), z.int()]);

export function toFinding(row: FindingRow): Finding {
  const { id, kind, severity, strength, state, running, mode, cluster, node, reason, evidence } = row;
  return {
    ...{ id, kind, severity, strength, state, running, mode, cluster, node, reason, evidence },
    devices: row.devices.map(({ uuid, index, model }) => ({ uuid, index, model })),
    reasons: [...row.reasons],
    source: row.source,
    insideJob: row.insideJob,
    activeMs: row.activeMs,
    residentMs: row.residentMs,
    leastMs: row.leastMs,
    mostMs: row.mostMs,
    provisionalMs: row.provisionalMs,
    value: moneyOf(row.priced),
    score: scoreOf(row.signals),
    firstSeen: toTime(row.firstSeenMs),
    lastSeen: toTime(row.lastSeenMs),
    recordedAt: toTime(row.recordedAtMs),
    resolvedAt: toTimeOrNull(row.resolvedAtMs),
  };
}

const timeMs = (time: string | undefined): number | null => (time === undefined ? null : Date.parse(time));

export async function askFindings(
  questions: Questions,
  caller: Caller,
  query: z.output<typeof FindingsQuery>,
): Promise<FindingList> {
  const position = decodeCursor(Position, query.cursor);
  const rows = await questions.findings({
    ...scopeOf(caller),
    fromMs: timeMs(query.from),
    toMs: timeMs(query.to),
    kind: query.kind ?? null,
    reason: query.reason ?? null,
    state: query.state ?? null,
    running: query.running ?? null,
    mode: null,
    node: query.node ?? null,
    search: searchText(query.search),
    sort: query.sort,
    descending: query.order === 'desc',
    after: position && { sortKey: position[0], finding: position[1] },
    limit: query.limit + 1,
  });
  const page = cutPage(rows, query.limit, (last) => [last.sortKey, last.finding]);
  return { items: page.rows.map(toFinding), nextCursor: page.nextCursor };
}
