/** How complete the books are. */
import { z } from 'zod';
import type { NodeProgress, ProgressFacts, SourceRow, SuspectRow } from '../../questions.ts';
import type { Reader } from './reader.ts';

const NODES = `
  WITH fleet AS (SELECT DISTINCT node FROM capacity WHERE to_ms IS NULL),
  booked AS (
    SELECT d.node, d.hour_ms, coalesce(max(c.booked_to_ms), d.hour_ms) AS booked_to_ms
    FROM dirty_hours d LEFT JOIN cells c ON c.node = d.node AND c.hour_ms = d.hour_ms
    GROUP BY d.node, d.hour_ms
  ),
  waiting AS (
    SELECT node, min(booked_to_ms) AS booked_to_ms FROM booked
    WHERE booked_to_ms < hour_ms + 3600000 GROUP BY node
  )
  SELECT n.name, n.enrolled_at_ms IS NOT NULL AS enrolled, s.last_heard_ms AS lastHeardMs,
    s.complete_to_ms AS completeToMs, s.silent_to_ms AS silentToMs, w.booked_to_ms AS waitingFromMs
  FROM nodes n
  LEFT JOIN fleet f ON f.node = n.node
  LEFT JOIN node_state s ON s.node = n.node
  LEFT JOIN waiting w ON w.node = n.node
  WHERE f.node IS NOT NULL OR NOT EXISTS (SELECT 1 FROM fleet)
  ORDER BY n.name`;

const SOURCES = `
  SELECT s.source AS number, s.name AS source, s.instance AS sourceInstance, s.self_declared AS selfDeclared,
    s.complete_to_ms AS completeToMs, s.last_heard_ms AS lastHeardMs,
    (SELECT count(*) FROM jobs j WHERE j.source = s.source) AS jobs, h.state, h.since_ms AS sinceMs,
    h.last_success_ms AS lastSuccessMs, h.reported_at_ms AS reportedAtMs, h.problems, h.problem_count AS problemCount
  FROM sources s LEFT JOIN source_health h ON h.source = s.source ORDER BY s.name, s.instance`;

/** Nodes that a source declared jobs on within so long before its record stopped are its own. */
const OWN_NODE_MS = 7 * 24 * 3_600_000;
const SUSPECT = `
  SELECT count(DISTINCT f.node) AS nodes, count(*) AS findings, coalesce(sum(f.active_ms), 0) AS activeMs
  FROM findings f JOIN nodes n ON n.node = f.node JOIN sources s ON s.source = @source AND s.cluster = n.cluster
  WHERE f.last_seen_ms >= @sinceMs AND f.first_seen_ms >= @sinceMs AND f.kind = 'compute' AND f.resolved_at_ms IS NULL
    AND f.active_ms > 0 AND EXISTS (
      SELECT 1 FROM job_allocations a JOIN jobs j ON j.job = a.job AND j.source = s.source
      WHERE a.node = n.name AND a.until_ms > @sinceMs - ${OWN_NODE_MS})`;

const PENDING = `
  SELECT coalesce(sum((SELECT count(*) FROM devices v WHERE v.node = d.node)), 0) AS cells FROM dirty_hours d`;

const PROVISIONAL = `
  SELECT min(e.from_ms) AS fromMs
  FROM cells c JOIN entries e ON e.hour_ms = c.hour_ms AND e.node = c.node AND e.device = c.device
  WHERE c.settles_at_ms IS NOT NULL AND e.provisional = 1`;

type Health = Omit<NonNullable<SourceRow['health']>, 'problems'> & { readonly problems: string };
type SourceColumns = Omit<SourceRow, 'selfDeclared' | 'health'> & { readonly selfDeclared: number } & (
    | Health
    | { readonly [member in keyof Health]: null }
  );
const Problems = z.array(z.object({ atMs: z.int(), subject: z.string().nullable(), message: z.string() }));

export interface ProgressQuestions {
  progress(): ProgressFacts;
  sources(): SourceRow[];
  suspect(number: number, sinceMs: number): SuspectRow;
}

export function progressQuestions(reader: Reader): ProgressQuestions {
  const nodes = reader.question<Omit<NodeProgress, 'enrolled'> & { enrolled: number }>(NODES);
  const sourceRows = reader.question<SourceColumns>(SOURCES);
  const pending = reader.question<{ cells: number }>(PENDING);
  const provisional = reader.question<{ fromMs: number | null }>(PROVISIONAL);
  const sources = (): SourceRow[] =>
    sourceRows
      .all({})
      .map(({ state, sinceMs, lastSuccessMs, reportedAtMs, problems, problemCount, ...row }) => ({
        ...row,
        selfDeclared: row.selfDeclared === 1,
        health:
          state === null
            ? null
            : {
                ...{ state, sinceMs, lastSuccessMs, reportedAtMs, problemCount },
                problems: Problems.parse(JSON.parse(problems)),
              },
      }));
  const suspects = reader.question<SuspectRow>(SUSPECT);
  return {
    sources,
    suspect: (source, sinceMs) =>
      suspects.first({ source, sinceMs }) ?? { nodes: 0, findings: 0, activeMs: 0 },
    progress: () => ({
      nodes: nodes.all({}).map((row) => ({ ...row, enrolled: row.enrolled === 1 })),
      sources: sources(),
      pendingCells: pending.first({})?.cells ?? 0,
      provisionalFromMs: provisional.first({})?.fromMs ?? null,
    }),
  };
}
