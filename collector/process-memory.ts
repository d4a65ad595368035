/** What is known of processes, kept in the spool's folder over a restart of the agent. */
import { join } from 'node:path';
import type { Files } from './ports.ts';
import type { ProcessTable } from './processes.ts';

const MAX_STATE_BYTES = 64 * 1024 * 1024;

const pathIn = (spoolFolder: string): string => join(spoolFolder, 'processes.json');

/** Throws what the disk does. */
export function saveProcesses(files: Files, spoolFolder: string, table: ProcessTable): void {
  files.writeDurably(pathIn(spoolFolder), Buffer.from(JSON.stringify(table.exportState())));
}

/** The first run, or a damaged file: evidence starts afresh, which /proc mostly gives again. */
export function restoreProcesses(files: Files, spoolFolder: string, table: ProcessTable): void {
  try {
    const { bytes, cut } = files.read(pathIn(spoolFolder), MAX_STATE_BYTES);
    if (!cut) table.importState(JSON.parse(bytes.toString('utf8')));
  } catch {
    // As above.
  }
}
