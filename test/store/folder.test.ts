/** The data folder as a whole: one service at a time, and what people are told when it cannot be used. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, onTestFinished, test } from 'vitest';
import { explain } from '../../api/store/sqlite/explain.ts';
import { lockFolder } from '../../api/store/sqlite/folder-lock.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';

const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'gpuledger-folder-'));

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

test('a folder is held by one, until it lets go', () => {
  const folder = join(temporaryFolder(), 'new');
  const unlock = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(
    expect.objectContaining({ code: 'busy', message: `another gpuledger service uses ${folder}` }),
  );
  expect(readdirSync(folder)).toEqual(['service.lock']);
  const other = lockFolder(`${folder}-2`);
  unlock();
  lockFolder(folder)();
  other();
});

test('what a killed process held is free at once', async () => {
  const folder = temporaryFolder();
  const module = new URL('../../api/store/sqlite/folder-lock.ts', import.meta.url).href;
  const script = `import { lockFolder } from '${module}'; lockFolder('${folder}'); console.log('held'); setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  expect(() => lockFolder(folder)).toThrow(expect.objectContaining({ code: 'busy' }));
  child.kill('SIGKILL');
  await once(child, 'close');
  lockFolder(folder)();
});

test('a database that is only to be read is not made', () => {
  const file = join(temporaryFolder(), 'gpuledger.sqlite');
  expect(() => openSqlite({ file, readOnly: true })).toThrow(
    expect.objectContaining({ code: 'missing', message: `there is no ${file}` }),
  );
  expect(existsSync(file)).toBe(false);
});

test('a full disk is told as one', () => {
  const database = new Database(':memory:');
  database.exec('CREATE TABLE t (x)');
  database.pragma('max_page_count = 2');
  const ofSqlite = thrown(() => database.exec('INSERT INTO t VALUES (zeroblob(100000))'));
  const ofTheSystem = thrown(() => writeFileSync('/dev/full', 'x'));
  database.close();
  for (const error of [ofSqlite, ofTheSystem])
    expect(explain(error, '/data/x.sqlite')).toMatchObject({
      code: 'full',
      message: expect.stringMatching(/^the disk of \/data is full/),
      remedy: expect.stringContaining('--data'),
    });
});
