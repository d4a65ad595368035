/** What nodes say of the files through which their GPUs are read, and of their machines. */
import type { HostFact } from '../../../contract/batch.ts';
import type { NodeFilesRow } from '../../questions.ts';
import { TOOL_COLUMNS, type ToolRow, toolOf } from '../node-files.ts';
import { listParameter, type Reader } from './reader.ts';

/** One node, or all that have devices in the fleet. */
const NODES = `
  SELECT n.node AS number, n.name AS node, coalesce(s.tools_driver_version, s.driver_version) AS driverVersion,
    s.tools_from_ms AS listedMs
  FROM nodes n LEFT JOIN node_state s ON s.node = n.node
  WHERE CASE WHEN @name IS NULL THEN EXISTS (SELECT 1 FROM capacity k WHERE k.node = n.node AND k.to_ms IS NULL)
      AND s.stream IS NOT NULL ELSE n.name = @name END
  ORDER BY n.name`;
const TOOLS = `SELECT node, ${TOOL_COLUMNS} FROM node_tools
  WHERE node IN (SELECT value FROM json_each(@nodes)) ORDER BY node, ordinal`;
const HOST = `SELECT operating_system AS operatingSystem, kernel, processor, cores, memory_bytes AS memoryBytes,
    virtualisation FROM node_hosts WHERE node = @node`;

export interface NodeFilesQuestions {
  /** `name` null: all nodes with open capacity whose agent was heard, by name. */
  files(name: string | null): NodeFilesRow[];
  /** Null: nobody described it. `node` is the store's number. */
  host(node: number): HostFact | null;
}

export function nodeFilesQuestions(reader: Reader): NodeFilesQuestions {
  const nodes = reader.question<Omit<NodeFilesRow, 'tools'> & { number: number }>(NODES);
  const tools = reader.question<ToolRow & { node: number }>(TOOLS);
  const host = reader.question<HostFact>(HOST);
  return {
    files(name) {
      const rows = nodes.all({ name });
      const numbers = listParameter(rows.map((row) => row.number));
      const toolsOf = Map.groupBy(tools.all({ nodes: numbers }), (row) => row.node);
      return rows.map(({ number, ...row }) => ({
        ...row,
        tools: row.listedMs === null ? null : (toolsOf.get(number) ?? []).map(toolOf),
      }));
    },
    host: (node) => host.first({ node }),
  };
}
