/** The database holds text about people: only its owner reads it, also where it was open to others before. */
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSqlite } from '../../api/store/sqlite/open.ts';

test('a database that others could read is closed to them when it is opened', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-private-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'ledger.sqlite');
  const modes = (): number[] => ['', '-wal', '-shm'].map((end) => statSync(file + end).mode & 0o777);
  const first = openSqlite({ file, nowMs: 0 });
  expect(modes()).toEqual([0o600, 0o600, 0o600]);
  for (const end of ['', '-wal', '-shm']) chmodSync(file + end, 0o664);
  const second = openSqlite({ file, nowMs: 0 });
  expect(modes()).toEqual([0o600, 0o600, 0o600]);
  await second.close();
  await first.close();
});
