/** What a node says of itself beside its devices: the files through which its GPUs are read, and the machine. */
import { z } from 'zod';
import { type HostFact, TOOL_ROLES, type ToolFact } from '../../contract/batch.ts';
import type { BatchWrite } from '../batches.ts';
import type { Sqlite } from './connection.ts';

/** Columns of `node_tools` under the names of `ToolFact`. */
export const TOOL_COLUMNS = `role, path, file_device AS device, file_inode AS inode, owner_uid AS ownerUid,
  size_bytes AS sizeBytes, sha256, version`;

export interface ToolRow extends Omit<ToolFact, 'role'> {
  readonly role: string;
}
const Role = z.enum(TOOL_ROLES);
export const toolOf = (row: ToolRow): ToolFact => ({
  ...{ role: Role.parse(row.role), path: row.path, device: row.device, inode: row.inode },
  ...{ ownerUid: row.ownerUid, sizeBytes: row.sizeBytes, sha256: row.sha256, version: row.version },
});

export interface NodeFiles {
  /** Takes what a batch says; in whatever order batches come, the newest counts. Call after `node_state` has the node. */
  take(node: number, batch: BatchWrite): void;
  /** As the batch that listed them last has them; null: none ever did. */
  tools(node: number): readonly ToolFact[] | null;
}

export function createNodeFiles({ database }: Sqlite): NodeFiles {
  const hear = database.prepare(
    `UPDATE node_state SET tools_from_ms = :fromMs, tools_driver_version = coalesce(:driverVersion, driver_version)
     WHERE node = :node AND coalesce(tools_from_ms, 0) <= :fromMs`,
  );
  const remove = database.prepare('DELETE FROM node_tools WHERE node = ?');
  const insert = database.prepare(
    `INSERT INTO node_tools (node, ordinal, role, path, file_device, file_inode, owner_uid, size_bytes, sha256, version)
     VALUES (:node, :ordinal, :role, :path, :device, :inode, :ownerUid, :sizeBytes, :sha256, :version)`,
  );
  const describe = database.prepare(
    `INSERT INTO node_hosts (node, operating_system, kernel, processor, cores, memory_bytes, virtualisation, described_ms)
     VALUES (:node, :operatingSystem, :kernel, :processor, :cores, :memoryBytes, :virtualisation, :fromMs)
     ON CONFLICT (node) DO UPDATE SET operating_system = excluded.operating_system, kernel = excluded.kernel,
       processor = excluded.processor, cores = excluded.cores, memory_bytes = excluded.memory_bytes,
       virtualisation = excluded.virtualisation, described_ms = excluded.described_ms
     WHERE described_ms <= excluded.described_ms`,
  );
  const isListed = database
    .prepare<[number], number | null>('SELECT tools_from_ms FROM node_state WHERE node = ?')
    .pluck();
  const select = database.prepare<[number], ToolRow>(
    `SELECT ${TOOL_COLUMNS} FROM node_tools WHERE node = ? ORDER BY ordinal`,
  );

  function takeTools(node: number, tools: readonly ToolFact[], { fromMs, driverVersion }: BatchWrite): void {
    if (hear.run({ node, fromMs, driverVersion }).changes === 0) return;
    remove.run(node);
    for (const [ordinal, tool] of tools.entries()) insert.run({ ...tool, node, ordinal });
  }
  const takeHost = (node: number, host: HostFact, fromMs: number) => describe.run({ ...host, node, fromMs });

  return {
    take(node, batch) {
      if (batch.tools !== null) takeTools(node, batch.tools, batch);
      if (batch.host !== null) takeHost(node, batch.host, batch.fromMs);
    },
    tools: (node) => ((isListed.get(node) ?? null) === null ? null : select.all(node).map(toolOf)),
  };
}
