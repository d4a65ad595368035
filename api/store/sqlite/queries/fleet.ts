/** Nodes and devices as the pages list them. */

import type { Sums } from '../../../contract/ledger.ts';
import type { DeviceRow, DevicesQuestion, NodeRow, NodesQuestion } from '../../questions.ts';
import { SUM_COLUMNS } from './ledger.ts';
import { likePart, listParameter, type Reader } from './reader.ts';

const PROBLEMS_PER_NODE = 20;
/** The newest booked stretch that says what a device does now. */
const NOW_MS = 60_000;

const NODES = `
  SELECT n.node AS number, n.name, c.name AS cluster, g.name AS "group", g.mode, n.enrolled_at_ms IS NOT NULL AS enrolled,
    t.name AS stream, s.number AS seq, s.agent_version AS version, s.driver_version AS driverVersion,
    s.boot_id AS bootId, s.poll_interval_ms AS pollIntervalMs, s.last_heard_ms AS lastHeardMs,
    s.complete_to_ms AS completeToMs, s.silent_to_ms AS silentToMs,
    (SELECT count(*) FROM capacity k WHERE k.node = n.node AND k.to_ms IS NULL) AS devices
  FROM nodes n JOIN clusters c ON c.cluster = n.cluster JOIN node_groups g ON g.node_group = n.node_group
  LEFT JOIN node_state s ON s.node = n.node LEFT JOIN streams t ON t.stream = s.stream
  WHERE (@name IS NULL OR n.name = @name) AND (@search IS NULL OR n.name LIKE @search ESCAPE '\\') AND (@after IS NULL OR n.name > @after)
  ORDER BY n.name LIMIT @limit`;
const MODELS = `SELECT DISTINCT node, model FROM devices
  WHERE node IN (SELECT value FROM json_each(@nodes)) ORDER BY model`;
const DAY_SUMS = `SELECT l.node, ${SUM_COLUMNS} FROM ledger_hours l
  WHERE l.hour_ms >= @sinceMs AND l.node IN (SELECT value FROM json_each(@nodes)) GROUP BY l.node`;
const PROBLEMS = `SELECT node, at_ms AS atMs, source, message FROM (
    SELECT node, at_ms, source, message, row_number() OVER (PARTITION BY node ORDER BY at_ms DESC, problem DESC) AS place
    FROM node_problems WHERE node IN (SELECT value FROM json_each(@nodes)))
  WHERE place <= ${PROBLEMS_PER_NODE} ORDER BY node, place`;

/** The bucket that the newest booked minute of device v went to most. */
const NOW = `(
    SELECT e.bucket FROM cells c JOIN entries e ON e.hour_ms = c.hour_ms AND e.node = c.node AND e.device = c.device
      WHERE c.node = v.node AND c.device = v.device AND e.to_ms > c.booked_to_ms - ${NOW_MS} AND e.ms > 0
        AND c.hour_ms = (SELECT max(x.hour_ms) FROM cells x WHERE x.node = v.node AND x.device = v.device AND x.capacity_ms > 0)
      GROUP BY e.bucket
      ORDER BY sum(e.ms * 1.0 * (min(e.to_ms, c.booked_to_ms) - max(e.from_ms, c.booked_to_ms - ${NOW_MS}))
        / (e.to_ms - e.from_ms)) DESC
      LIMIT 1)`;
const DEVICES_NOW = `SELECT v.node, v.uuid, v.device_index AS "index", ${NOW} AS now FROM devices v
  WHERE v.node IN (SELECT value FROM json_each(@nodes))
    AND EXISTS (SELECT 1 FROM capacity k WHERE k.device = v.device AND k.node = v.node AND k.to_ms IS NULL)
  ORDER BY v.node, coalesce(v.device_index, 999), v.uuid`;

const DEVICES = `
  SELECT v.uuid, n.name AS node, v.device_index AS "index", v.minor, v.bus_id AS busId, v.model,
    v.memory_bytes AS memoryBytes, v.mig_enabled AS migEnabled,
    (SELECT min(k.from_ms) FROM capacity k WHERE k.device = v.device) AS capacityFromMs,
    (SELECT k.to_ms FROM capacity k WHERE k.device = v.device ORDER BY k.from_ms DESC LIMIT 1) AS capacityToMs,
    ${NOW} AS now
  FROM devices v JOIN nodes n ON n.node = v.node
  WHERE (@node IS NULL OR n.name = @node) AND (@model IS NULL OR v.model = @model)
    AND (@afterNode IS NULL OR n.name > @afterNode
      OR (n.name = @afterNode AND (coalesce(v.device_index, 999) > @afterIndex
        OR (coalesce(v.device_index, 999) = @afterIndex AND v.uuid > @afterUuid))))
  ORDER BY n.name, coalesce(v.device_index, 999), v.uuid LIMIT @limit`;

type NodeColumns = Omit<NodeRow, 'enrolled' | 'devicesNow' | 'models' | 'last24h' | 'problems'> & {
  enrolled: number;
};

export interface FleetQuestions {
  nodes(asked: NodesQuestion): NodeRow[];
  devices(asked: DevicesQuestion): DeviceRow[];
}

export function fleetQuestions(reader: Reader): FleetQuestions {
  const nodes = reader.question<NodeColumns>(NODES);
  const models = reader.question<{ node: number; model: string }>(MODELS);
  const now = reader.question<{ node: number } & NodeRow['devicesNow'][number]>(DEVICES_NOW);
  const sums = reader.question<{ node: number } & Sums>(DAY_SUMS);
  const problems = reader.question<{ node: number } & NodeRow['problems'][number]>(PROBLEMS);
  const devices = reader.question<Omit<DeviceRow, 'migEnabled'> & { migEnabled: number }>(DEVICES);
  return {
    nodes({ name, search, after, limit, sinceMs }) {
      const rows = nodes.all({ name, search: search === null ? null : likePart(search), after, limit });
      const numbers = listParameter(rows.map((row) => row.number));
      const modelsOf = Map.groupBy(models.all({ nodes: numbers }), (row) => row.node);
      const nowOf = Map.groupBy(now.all({ nodes: numbers }), (row) => row.node);
      const sumsOf = new Map(sums.all({ nodes: numbers, sinceMs }).map((row) => [row.node, row]));
      const problemsOf = Map.groupBy(problems.all({ nodes: numbers }), (row) => row.node);
      return rows.map((row) => ({
        ...row,
        enrolled: row.enrolled === 1,
        devicesNow: nowOf.get(row.number) ?? [],
        models: (modelsOf.get(row.number) ?? []).map((one) => one.model),
        last24h: sumsOf.get(row.number) ?? null,
        problems: problemsOf.get(row.number) ?? [],
      }));
    },
    devices: ({ node, model, after, limit }) =>
      devices
        .all({
          ...{ node, model, limit },
          afterNode: after?.node ?? null,
          afterIndex: after?.index ?? null,
          afterUuid: after?.uuid ?? null,
        })
        .map((row) => ({ ...row, migEnabled: row.migEnabled === 1 })),
  };
}
