/** What a person can put right about a database: from the codes of the system and of SQLite to errors with a remedy. */
import { dirname } from 'node:path';
import { StoreError } from '../errors.ts';

/** Anything else is returned as it is. */
export function explain(error: unknown, file: string, readOnly = false): unknown {
  if (error instanceof StoreError || !(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  if (/^(EACCES|EROFS|EPERM|ENOENT|ENOTDIR|EEXIST|EISDIR|SQLITE_READONLY|SQLITE_CANTOPEN)/.test(code))
    return new StoreError(
      'not_writable',
      `cannot open ${file} for ${readOnly ? 'reading' : 'writing'}`,
      readOnly
        ? 'Run this as the account that the service runs as.'
        : 'Choose a folder that you may write to with --data, or change its owner.',
      error,
    );
  if (/^(SQLITE_CORRUPT|SQLITE_NOTADB)/.test(code))
    return new StoreError(
      'corrupt',
      `${file} is damaged or not a SQLite database`,
      'Put a backup in its place, or move it away and use another data folder with --data.',
      error,
    );
  if (code.startsWith('SQLITE_BUSY'))
    return new StoreError(
      'busy',
      `${file} is locked by another process`,
      'Stop the other gpuledger that uses this data folder, or use another one with --data.',
      error,
    );
  // Where SQLite cannot even make its small files, a full disk shows as a failed read or write.
  if (/^(ENOSPC|EDQUOT|SQLITE_FULL|SQLITE_IOERR)/.test(code))
    return new StoreError(
      'full',
      `the disk of ${dirname(file)} is full or fails (${error.message})`,
      'Make room there, or choose a folder on another disk with --data.',
      error,
    );
  return error;
}
