/** What schedulers say of a node, and how much of its time that explains. */
import type { ConditionRow, ReasonRow } from '../../questions.ts';
import type { Reader } from './reader.ts';

const CONDITIONS_MAX = 50;
const CONDITIONS = `
  SELECT s.name AS source, s.instance AS sourceInstance, o.condition, o.from_ms AS fromMs, o.to_ms AS toMs, o.reason
  FROM nodes n JOIN node_conditions o ON o.node = n.name JOIN sources s ON s.source = o.source AND s.cluster = n.cluster
  WHERE n.node = @node AND NOT EXISTS (
    SELECT 1 FROM node_conditions p WHERE p.source = o.source AND p.node = o.node AND p.condition = o.condition
      AND p.from_ms = o.from_ms AND p.seq > o.seq)
  ORDER BY o.from_ms DESC, o.condition LIMIT ${CONDITIONS_MAX}`;
const REASONS = `
  SELECT e.bucket, e.condition, sum(e.ms) AS ms
  FROM (SELECT DISTINCT hour_ms, device FROM cells WHERE node = @node AND hour_ms >= @sinceMs) c
  JOIN entries e ON e.hour_ms = c.hour_ms AND e.node = @node AND e.device = c.device
  WHERE e.condition IS NOT NULL
  GROUP BY e.bucket, e.condition ORDER BY ms DESC, e.bucket, e.condition`;

export interface NodeConditionQuestions {
  /** `node`: the store's number. */
  conditions(node: number): ConditionRow[];
  reasons(node: number, sinceMs: number): ReasonRow[];
}

export function nodeConditionQuestions(reader: Reader): NodeConditionQuestions {
  const conditions = reader.question<ConditionRow>(CONDITIONS);
  const reasons = reader.question<ReasonRow>(REASONS);
  return {
    conditions: (node) => conditions.all({ node }),
    reasons: (node, sinceMs) => reasons.all({ node, sinceMs }),
  };
}
