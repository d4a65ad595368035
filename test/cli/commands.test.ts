/** The other commands: tokens, jobs, rates, fleet, reports, and how each of them fails. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DATABASE_NAME } from '../../api/config.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from '../http/service.ts';
import { type Ran, run, start, until } from './gpuledger.ts';

let service: Service;
let environment: Record<string, string>;
beforeAll(async () => {
  service = await startService();
  environment = { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: await service.tokenFor('admin') };
});
afterAll(() => service.stop());

const folder = (): string => mkdtempSync(join(tmpdir(), 'gpuledger-cli-'));
const ask = (...args: string[]): Promise<Ran> => run(args, environment);

describe('token', () => {
  test('is made, works, is listed without its secret, and is revoked', async () => {
    const made = await run([
      'token',
      'create',
      '--role',
      'viewer',
      '--name',
      'wall',
      '--data',
      service.folder,
    ]);
    expect(made.code).toBe(0);
    const token = made.stdout.trim();
    expect(token).toMatch(/^glt_[0-9a-f]{16}_[\w-]{43}$/);
    expect((await service.ask('GET', '/v1/session', { token })).json).toMatchObject({
      name: 'wall',
      roles: ['viewer'],
    });
    const listed = await run(['token', 'list', '--json', '--data', service.folder]);
    expect(JSON.parse(listed.stdout)).toContainEqual(
      expect.objectContaining({ name: 'wall', role: 'viewer' }),
    );
    const [, id = '', secret = ''] = /^glt_([0-9a-f]+)_(.+)$/.exec(token) ?? [];
    expect(listed.stdout).not.toContain(secret);
    // Nowhere in the database either.
    expect(readFileSync(join(service.folder, DATABASE_NAME)).includes(secret)).toBe(false);
    expect((await run(['token', 'revoke', id, '--data', service.folder])).code).toBe(0);
    expect((await service.ask('GET', '/v1/session', { token })).status).toBe(401);
    const again = await run(['token', 'revoke', id, '--data', service.folder]);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('there is no token')]);
    const database = new Database(join(service.folder, DATABASE_NAME), { readonly: true });
    const journal = database
      .prepare('SELECT action, actor FROM journal WHERE subject = ? ORDER BY number')
      .all(id);
    database.close();
    expect(journal).toEqual(
      ['token.create', 'token.revoke'].map((action) => ({
        action,
        actor: expect.stringContaining('shell of '),
      })),
    );
  });

  test('of an agent needs its node, of an owner its accounts', async () => {
    const agent = await run(['token', 'create', '--role', 'agent', '--data', service.folder]);
    expect([agent.code, agent.stderr]).toEqual([1, expect.stringContaining('node')]);
    const owner = await run(['token', 'create', '--role', 'owner', '--data', service.folder]);
    expect([owner.code, owner.stderr]).toEqual([1, expect.stringContaining('account')]);
    const wrong = await run(['token', 'create', '--role', 'king', '--data', service.folder]);
    expect(wrong.code).toBe(2);
  });
});

test('jobs are declared, corrected, ended and listed', async () => {
  const declare = [
    'jobs',
    'declare',
    '--account',
    'physics',
    '--id',
    '4711',
    '--start',
    '2026-10-01',
    '--on',
    'n1:2',
  ];
  const first = await ask(...declare, '--json');
  const job = JSON.parse(first.stdout);
  expect(job).toMatchObject({
    version: 1,
    start: '2026-10-01T00:00:00.000Z',
    allocations: [{ node: 'n1', count: 2 }],
  });
  expect(JSON.parse((await ask(...declare, '--json')).stdout).version).toBe(1);
  expect((await ask('jobs', 'end', job.id, '--at', '2026-10-02 06:00')).stdout).toContain(
    '2026-10-02T06:00:00.000Z',
  );
  const list = await ask('jobs', 'list', '--account', 'physics');
  expect(list.stdout).toContain('4711');
  const bad = await ask('jobs', 'declare', '--account', 'physics', '--id', 'x', '--start', 'soon');
  expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining('--start soon')]);
  const refused = await ask('jobs', 'declare', '--account', 'physics', '--id', 'x', '--on', 'n1:99');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('allocations.0.count: ')]);
  expect(refused.stderr.trim().split('\n')).toHaveLength(1);
});

test('rates, fleet and reports', async () => {
  const rates = await ask(
    'rates',
    'set',
    '--currency',
    'EUR',
    '--from',
    '2026-10-01',
    'default=2.5',
    'NVIDIA A=1',
  );
  expect([rates.code, rates.stderr]).toEqual([0, '']);
  expect(rates.stdout).toContain('NVIDIA A');
  const file = join(folder(), 'fleet.csv');
  writeFileSync(
    file,
    'node,from,uuid,model,index\nn9,2026-10-01,GPU-9a,NVIDIA A,0\nn9,2026-10-01,GPU-9b,NVIDIA A,1\n',
  );
  const dry = await ask('fleet', 'import', file, '--dry-run');
  expect([dry.code, dry.stdout]).toEqual([0, expect.stringContaining('nothing was changed')]);
  const nodes = async (): Promise<unknown> =>
    (await service.ask('GET', '/v1/nodes?search=n9', { token: environment['GPULEDGER_TOKEN'] ?? '' })).json;
  expect(await nodes()).toMatchObject({ items: [] });
  expect((await ask('fleet', 'import', file)).code).toBe(0);
  expect(await nodes()).toMatchObject({ items: [{ name: 'n9', enrolled: false, devices: 2 }] });
  writeFileSync(file, 'node,from,colour\nn9,2026-10-01,red\n');
  const wrong = await ask('fleet', 'import', file);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('line 2')]);
  expect((await ask('report', '--month', '2026-10')).stdout).toContain('Foots to capacity');
  expect((await ask('report', '--month', '2026-10', '--csv')).stdout).toMatch(/^row,period,status/);
  expect((await ask('report', '--from', '2026-10-01', '--to', '2026-10-02', '--by', 'node')).code).toBe(0);
  expect((await ask('report', '--from', '2026-10-01')).code).toBe(2);
  expect((await ask('findings')).stdout).toContain('No findings');
  expect((await ask('sources', '--json')).code).toBe(0);
});

test('a link is made for a running service, and a verified ledger says so', async () => {
  const link = await run(['sign-in', '--data', service.folder, '--url', service.url]);
  const { pathname, search } = new URL(link.stdout.trim());
  expect((await service.ask('GET', pathname + search)).status).toBe(303);
  const owner = await run([
    ...['sign-in', '--data', service.folder, '--url', service.url],
    ...['--role', 'owner', '--account', 'physics', '--account', 'research'],
  ]);
  expect(owner.stdout).toContain('/sign-in?code=');
  const nowhere = await run(['sign-in', '--data', folder()]);
  expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining('--data')]);
  const verified = await run(['verify', '--data', service.folder, '--json']);
  expect([verified.code, JSON.parse(verified.stdout)]).toEqual([0, expect.objectContaining({ ok: true })]);
});

describe('serve', () => {
  test('prints one line with a link, leaves a token for this machine, and stops when asked', async () => {
    const data = join(folder(), 'new', 'data');
    const serving = start(['serve', '--data', data, '--port', '0']);
    await until(() => serving.stdout().includes('sign-in?code='));
    expect(serving.stdout().trim().split('\n')).toHaveLength(1);
    expect(statSync(join(data, 'cli-token')).mode & 0o777).toBe(0o600);
    expect(statSync(join(data, DATABASE_NAME)).mode & 0o077).toBe(0);
    const url = /http:\/\/[^/]+/.exec(serving.stdout())?.[0] ?? '';
    const list = await run(['jobs', 'list', '--url', url, '--data', data]);
    expect([list.code, list.stdout]).toEqual([0, 'No jobs.\n']);
    serving.child.kill('SIGTERM');
    expect((await serving.ended).code).toBe(0);
  });

  test('says in one line what stands in its way', async () => {
    const expectLine = async (args: string[], code: number, text: RegExp): Promise<void> => {
      const ran = await run(['serve', ...args]);
      expect([args, ran.code]).toEqual([args, code]);
      expect(ran.stderr).toMatch(text);
      expect(ran.stderr.trim().split('\n')).toHaveLength(1);
      expect(ran.stderr).not.toMatch(/\n\s+at /);
    };
    const port = new URL(service.url).port;
    await expectLine(['--data', folder(), '--port', port], 1, /is taken.*--port/);
    await expectLine(['--data', folder(), '--port', '99999'], 2, /--port/);
    await expectLine(
      ['--data', folder(), '--host', '203.0.113.1'],
      1,
      /not an address of this machine.*--host/,
    );
    const file = join(folder(), 'a-file');
    writeFileSync(file, '');
    await expectLine(['--data', join(file, 'data')], 1, /--data/);
    const newer = folder();
    await openSqlite({ file: join(newer, DATABASE_NAME) }).close();
    const database = new Database(join(newer, DATABASE_NAME));
    database.exec(
      "INSERT INTO migrations (number, name, hash, applied_at_ms) VALUES (9999, '9999_later.sql', 'x', 0)",
    );
    database.close();
    await expectLine(['--data', newer, '--port', '0'], 1, /newer version.*--data/);
    const notOurs = folder();
    writeFileSync(
      join(notOurs, DATABASE_NAME),
      'not a database at all, but long enough to look like one '.repeat(40),
    );
    await expectLine(['--data', notOurs, '--port', '0'], 1, /damaged or not a SQLite database/);
  });

  test.skipIf(process.getuid?.() === 0)('a folder that may not be written', async () => {
    const readOnly = join(folder(), 'data');
    mkdirSync(readOnly);
    chmodSync(readOnly, 0o500);
    const ran = await run(['serve', '--data', readOnly, '--port', '0']);
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining('--data')]);
  });
});

describe('usage', () => {
  test('the version is that of the package', async () => {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: `${manifest.version}\n` });
  });

  test('a wrong flag, a wrong command and a service that is away', async () => {
    expect((await run(['serve', '--nonsense'])).code).toBe(2);
    expect((await run(['nonsense'])).code).toBe(2);
    const away = await run(['jobs', 'list', '--url', 'http://127.0.0.1:9']);
    expect([away.code, away.stderr]).toEqual([1, expect.stringContaining('does not answer')]);
    const nobody = await run(['jobs', 'list', '--url', service.url, '--data', folder()]);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('gpuledger token create')]);
  });
});
