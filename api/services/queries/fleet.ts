/** GET /v1/nodes and /v1/devices. */
import { z } from 'zod';
import { HOUR_MS } from '../../contract/batch.ts';
import type {
  DeviceList,
  DeviceOut,
  DevicesQuery,
  NodeList,
  NodeOut,
  NodesQuery,
} from '../../contract/fleet.ts';
import type { NodeDetail } from '../../contract/integrity.ts';
import { NO_SUMS } from '../../domain/sums.ts';
import type { DeviceRow, NodeRow, Questions } from '../../store/questions.ts';
import { ServiceError } from '../errors.ts';
import { isSilent, toTime, toTimeOrNull } from './completeness.ts';
import { sumsOf } from './ledger.ts';
import { cutPage, decodeCursor, searchText } from './page.ts';
import { startOfHour } from './range.ts';

const LAST_HOURS = 24;
/** Where the query sorts a device without an index. */
const NO_INDEX = 999;
const NodePosition = z.tuple([z.string()]);
const DevicePosition = z.tuple([z.string(), z.int(), z.string()]);

function agentOf(row: NodeRow): NodeOut['agent'] {
  const { version, bootId, stream, seq, pollIntervalMs, lastHeardMs, completeToMs } = row;
  if (version === null || bootId === null || stream === null || seq === null) return null;
  if (pollIntervalMs === null || lastHeardMs === null || completeToMs === null) return null;
  return {
    ...{ version, bootId, stream, seq, pollIntervalMs },
    driverVersion: row.driverVersion,
    lastHeard: toTime(lastHeardMs),
    completeTo: toTime(completeToMs),
    silent: isSilent(row),
  };
}

const toNode = (row: NodeRow): NodeOut => ({
  name: row.name,
  cluster: row.cluster,
  group: row.group,
  mode: row.mode,
  enrolled: row.enrolled,
  agent: agentOf(row),
  devices: row.devices,
  devicesNow: row.devicesNow.map(({ uuid, index, now }) => ({ uuid, index, now: now ?? 'pending' })),
  models: [...row.models],
  last24h: row.last24h === null ? NO_SUMS : sumsOf(row.last24h),
  problems: row.problems.map(({ atMs, source, message }) => ({ at: toTime(atMs), source, message })),
});

const toDevice = (row: DeviceRow): DeviceOut => {
  const { uuid, node, index, minor, busId, model, memoryBytes, migEnabled } = row;
  return {
    ...{ uuid, node, index, minor, busId, model, memoryBytes, migEnabled },
    capacityFrom: toTime(row.capacityFromMs ?? 0),
    capacityTo: toTimeOrNull(row.capacityToMs),
    now: row.now ?? 'pending',
  };
};

const lastDayFrom = (nowMs: number): number => startOfHour(nowMs) - (LAST_HOURS - 1) * HOUR_MS;

/** Throws `not_found`. */
export async function askNode(questions: Questions, name: string, nowMs: number): Promise<NodeDetail> {
  const facts = await questions.node(name, lastDayFrom(nowMs));
  if (facts === null) throw new ServiceError('not_found', `There is no node ${name}`);
  const { row, files, host } = facts;
  return {
    ...toNode(row),
    tools: files?.tools?.map((tool) => ({ ...tool })) ?? null,
    conditions: facts.conditions.map(({ fromMs, toMs, ...one }) => ({
      ...{ ...one, from: toTime(fromMs), to: toTimeOrNull(toMs) },
    })),
    reasons: facts.reasons.map((one) => ({ ...one })),
    toolsListedAt: toTimeOrNull(files?.listedMs ?? null),
    host,
  };
}

export async function askNodes(
  questions: Questions,
  query: z.output<typeof NodesQuery>,
  nowMs: number,
): Promise<NodeList> {
  const position = decodeCursor(NodePosition, query.cursor);
  const rows = await questions.nodes({
    name: null,
    search: searchText(query.search),
    after: position?.[0] ?? null,
    limit: query.limit + 1,
    sinceMs: lastDayFrom(nowMs),
  });
  const page = cutPage(rows, query.limit, (last) => [last.name]);
  return { items: page.rows.map(toNode), nextCursor: page.nextCursor };
}

export async function askDevices(
  questions: Questions,
  query: z.output<typeof DevicesQuery>,
): Promise<DeviceList> {
  const position = decodeCursor(DevicePosition, query.cursor);
  const rows = await questions.devices({
    node: query.node ?? null,
    model: query.model ?? null,
    after: position && { node: position[0], index: position[1], uuid: position[2] },
    limit: query.limit + 1,
  });
  const page = cutPage(rows, query.limit, (last) => [last.node, last.index ?? NO_INDEX, last.uuid]);
  return { items: page.rows.map(toDevice), nextCursor: page.nextCursor };
}
