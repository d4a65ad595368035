/** GET /v1/conflicts: who claims the same, where, when and how much. */
import { z } from 'zod';
import { CONFLICT_CLAIMS_MAX, type ConflictList, type ConflictsQuery } from '../../contract/conflicts.ts';
import type { Caller } from '../../domain/caller.ts';
import { type Questions, scopeOf } from '../../store/questions.ts';
import { toTime } from './completeness.ts';
import { cutPage, decodeCursor } from './page.ts';
import { DAY_MS, hourRange } from './range.ts';

const DEFAULT_DAYS = 7;
/** Every hour of a range is read: where each GPU of a large site is claimed twice, more would hold the service up. */
const MAX_DAYS = 31;
const Position = z.tuple([z.int().min(0).max(1), z.int(), z.string().max(40)]);

export async function askConflicts(
  questions: Questions,
  caller: Caller,
  query: z.output<typeof ConflictsQuery>,
  nowMs: number,
): Promise<ConflictList> {
  const { to = toTime(nowMs) } = query;
  const { from = toTime(Date.parse(to) - DEFAULT_DAYS * DAY_MS) } = query;
  const position = decodeCursor(Position, query.cursor);
  const rows = await questions.conflicts({
    ...scopeOf(caller),
    ...hourRange({ from, to }, MAX_DAYS),
    node: query.node ?? null,
    account: query.account ?? null,
    source: query.source ?? null,
    running: query.state === undefined ? null : query.state === 'running',
    nowMs,
    after: position && { running: position[0] === 1, fromMs: position[1], id: position[2] },
    limit: query.limit + 1,
    claimsMax: CONFLICT_CLAIMS_MAX,
  });
  const page = cutPage(rows, query.limit, (last) => [Number(last.running), last.fromMs, last.id]);
  return {
    items: page.rows.map(({ id, node, devices, claims, moreClaims, fromMs, toMs, running, ms }) => ({
      ...{ id, node, devices: [...devices], claims: [...claims], moreClaims },
      ...{ from: toTime(fromMs), to: toTime(toMs), running, contestedMs: ms },
    })),
    nextCursor: page.nextCursor,
  };
}
