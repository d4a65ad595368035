/** What findings may be known again by: their busiest process, and the names of the programs above it. */
import type { SeriesQuestion, TraitsRow } from '../../finding-questions.ts';
import { FROM, SCOPE } from './finding-rows.ts';
import { listParameter, type Reader } from './reader.ts';

/** Programs above a source that are told. */
const WAY_MAX = 8;

const NEAR = `
  SELECT f.finding, f.id, n.name AS node, f.process ${FROM}
  WHERE f.resolved_at_ms IS NULL AND f.process IS NOT NULL AND c.name = @cluster AND ${SCOPE}
    AND f.last_seen_ms >= @fromMs AND f.first_seen_ms <= @toMs
  ORDER BY f.id = @id DESC, f.last_seen_ms DESC, f.finding LIMIT @limit`;

const TRAITS = `
  WITH near AS (${NEAR}),
  busiest AS (
    SELECT q.finding, q.process, row_number() OVER (PARTITION BY q.finding
      ORDER BY sum(q.active_ms) DESC, sum(q.resident_ms) DESC, q.process) AS place
    FROM near JOIN finding_parts q ON q.finding = near.finding WHERE q.process IS NOT NULL
    GROUP BY q.finding, q.process)
  SELECT near.finding, near.id, near.node, p.process, p.uid, p.comm, p.executable_path AS executablePath,
    p.executable_device AS executableDevice, p.executable_inode AS executableInode,
    p.arguments_digest AS argumentsDigest, u.command_line AS commandLine
  FROM near LEFT JOIN busiest b ON b.finding = near.finding AND b.place = 1
  JOIN processes p ON p.process = coalesce(b.process, near.process)
  LEFT JOIN personal u ON u.digest = p.personal`;

const WAYS = `
  WITH RECURSIVE up(source, process, depth) AS (
    SELECT value, value, 0 FROM json_each(@processes)
    UNION SELECT u.source, q.process, u.depth + 1 FROM up u JOIN processes p ON p.process = u.process
      JOIN processes q ON q.node = p.node AND q.boot_id = p.boot_id AND q.key = p.parent_key
      WHERE u.depth < ${WAY_MAX})
  SELECT u.source, p.comm, p.executable_path AS executablePath FROM up u JOIN processes p ON p.process = u.process
  WHERE u.depth > 0 ORDER BY u.source, u.depth`;

const ACTIVE_HOURS = `SELECT DISTINCT hour_ms AS hourMs FROM finding_parts
  WHERE finding IN (SELECT value FROM json_each(@findings)) AND active_ms > 0 ORDER BY hour_ms`;

export interface SeriesQuestions {
  traits(asked: SeriesQuestion): TraitsRow[];
  activeHours(findings: readonly number[]): number[];
}

export function seriesQuestions(reader: Reader): SeriesQuestions {
  const traits = reader.question<Omit<TraitsRow, 'ancestors'> & { process: number }>(TRAITS);
  const ways = reader.question<{ source: number; comm: string; executablePath: string | null }>(WAYS);
  const activeHours = reader.question<{ hourMs: number }>(ACTIVE_HOURS);
  return {
    traits({ id, accounts, cluster, fromMs, toMs, limit }) {
      const rows = traits.all({
        ...{ id, cluster, fromMs, toMs, limit },
        accounts: accounts === null ? null : listParameter(accounts),
      });
      const processes = listParameter([...new Set(rows.map((row) => row.process))]);
      const wayOf = Map.groupBy(ways.all({ processes }), (row) => row.source);
      return rows.map(({ process, ...row }) => ({
        ...row,
        ancestors: (wayOf.get(process) ?? []).map(
          ({ executablePath, comm }) => executablePath?.split('/').at(-1) ?? comm,
        ),
      }));
    },
    activeHours: (findings) =>
      activeHours.all({ findings: listParameter(findings) }).map((row) => row.hourMs),
  };
}
