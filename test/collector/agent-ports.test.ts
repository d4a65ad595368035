// The agent's ports on the real machine: real programs, real files, a real HTTP server.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newHead } from '../../collector/batch.ts';
import { lock } from '../../collector/cli/lock.ts';
import { execute } from '../../collector/ports/execute.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { ShipError } from '../../collector/ports.ts';
import { batchAt, nextStream, temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const limits = { timeoutMs: 10_000, maxOutputBytes: 1000 };
function program(text: string): string {
  const path = join(folder.path, 'program');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('execute', () => {
  it('gives both outputs and the exit code, without a shell and in an English locale', async () => {
    const path = program('echo "$1 $LC_ALL"; echo wrong >&2; exit 14');
    const { stdout, stderr, exitCode, failure } = await execute(path, ['$HOME; rm x'], limits);
    expect(stdout.toString()).toBe('$HOME; rm x C\n');
    expect(stderr.toString()).toBe('wrong\n');
    expect({ exitCode, failure }).toEqual({ exitCode: 14, failure: null });
  });

  it('passes on nothing that makes a program load something else', async () => {
    const planted = { LD_LIBRARY_PATH: '/tmp/x', LD_BIND_NOW: '1', GPULEDGER_TOKEN: 'glt_secret' };
    Object.assign(process.env, planted);
    try {
      const { stdout } = await execute('/usr/bin/env', [], limits);
      const names = stdout.toString().trim().split('\n').sort();
      expect(names).toEqual(['LC_ALL=C', `PATH=${process.env['PATH']}`]);
    } finally {
      for (const name of Object.keys(planted)) delete process.env[name];
    }
  });

  it('says why a program did not run', async () => {
    expect(await execute(join(folder.path, 'none'), [], limits)).toMatchObject({
      failure: 'missing',
      exitCode: null,
    });
    const path = program('echo never');
    chmodSync(path, 0o644);
    expect((await execute(path, [], limits)).failure).toBe('not_permitted');
    expect((await execute(program('kill -9 $$'), [], limits)).failure).toBe('killed');
  });

  it('ends a program that takes too long, keeping what it said', async () => {
    const executed = await execute(program('echo first; exec sleep 600'), [], { ...limits, timeoutMs: 300 });
    expect(executed.failure).toBe('timeout');
    expect(executed.stdout.toString()).toBe('first\n');
  });

  it('ends a program that says too much', async () => {
    const executed = await execute(program('while :; do echo 0123456789; done'), [], limits);
    expect(executed.failure).toBe('output_limit');
    expect(executed.stdout.length).toBe(1000);
  });

  it('leaves behind what keeps its output open after it was killed', async () => {
    // The grandchild holds the pipe, as a child stuck in the driver would.
    const executed = await execute(program('sleep 30 & echo $!; wait'), [], { ...limits, timeoutMs: 300 });
    expect(executed.failure).toBe('timeout');
    process.kill(Number(executed.stdout.toString()), 'SIGKILL');
  });
});

describe('files', () => {
  it('writes whole files and leaves nothing beside them', () => {
    const path = join(folder.path, 'file');
    files.writeDurably(path, Buffer.from('one'));
    files.writeDurably(path, Buffer.from('two'));
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(readdirSync(folder.path)).toEqual(['file']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('follows no link that somebody put where it writes', () => {
    const other = join(folder.path, 'other');
    writeFileSync(other, 'precious');
    const path = join(folder.path, 'file');
    symlinkSync(other, `${path}.tmp`);
    files.writeDurably(path, Buffer.from('own'));
    expect([readFileSync(path, 'utf8'), readFileSync(other, 'utf8')]).toEqual(['own', 'precious']);
    symlinkSync(other, join(folder.path, 'agent.lock'));
    lock(folder.path)();
    expect(readFileSync(other, 'utf8')).toBe('precious');
  });

  it('reads files that have no size, and says when there was more', () => {
    expect(files.read('/proc/self/stat', 100_000).bytes.toString()).toContain('(');
    const path = join(folder.path, 'long');
    writeFileSync(path, 'x'.repeat(200_000));
    expect(files.read(path, 200_000)).toMatchObject({ cut: false });
    expect(files.read(path, 199_999).cut).toBe(true);
    expect(files.read(path, 199_999).bytes.length).toBe(199_999);
  });

  it('reads a table of the kernel that is longer than a page to its end, and a short one in one go', async () => {
    const servers = Array.from({ length: 60 }, () => createServer().listen(0, '127.0.0.1'));
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const sockets = (bytes: Buffer): string[] =>
      bytes.toString().match(/: 0100007F:[0-9A-F]{4} 00000000:0000 0A/g) ?? [];
    const table = files.read('/proc/self/net/tcp', 1024 * 1024, 512);
    expect(sockets(table.bytes).length).toBeGreaterThanOrEqual(60);
    expect(table).toMatchObject({ cut: false });
    for (const server of servers) server.close();
  });

  it('does not wait for a pipe that nobody writes to', () => {
    const path = join(folder.path, 'pipe');
    execFileSync('mkfifo', [path]);
    expect(files.read(path, 10).bytes.toString()).toBe('');
  });

  it('throws what the disk says, with its code', () => {
    expect(() => files.read(join(folder.path, 'none'), 10)).toThrow(/ENOENT/);
    expect(() => files.list(join(folder.path, 'none'))).toThrow(/ENOENT/);
  });

  it('names a device as mountinfo does', () => {
    const { device, inode } = files.identify('/proc/self/root/');
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    const root = mounts.map((line) => line.split(' ')).find((fields) => fields[4] === '/');
    expect(device).toBe(root?.[2]);
    expect(inode).toBe(String(statSync('/').ino));
  });
});

it('lists no more of a folder than is asked for', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `f${index}`);
  for (const name of names) writeFileSync(join(folder.path, name), '');
  expect(files.list(folder.path).sort()).toEqual([...names].sort());
  expect(files.list(folder.path, 4000).sort()).toEqual([...names].sort());
  const some = files.list(folder.path, 1500);
  expect(new Set(some.filter((name) => names.includes(name))).size).toBe(1500);
  expect(() => files.list(join(folder.path, 'none'), 5)).toThrow(/ENOENT/);
});

describe('what a file is', () => {
  it('is told through links: who owns it, who may write it, and its content by its digest', () => {
    const path = join(folder.path, 'tool');
    writeFileSync(path, 'abc');
    chmodSync(path, 0o4775);
    const link = join(folder.path, 'link');
    symlinkSync(path, link);
    const { ino, uid, size } = statSync(path);
    expect(files.stat(link)).toMatchObject({
      ...{ inode: String(ino), ownerUid: uid, mode: 0o4775, sizeBytes: size, kind: 'file' },
    });
    expect(files.stat(folder.path).kind).toBe('folder');
    expect(files.realPath(link)).toBe(files.realPath(path));
    expect(files.digest(link, 3)).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(() => files.digest(link, 2)).toThrow(/EFBIG/);
    expect(() => files.digest(folder.path, 10)).toThrow(/EISDIR|EINVAL/);
  });

  it('hashes no pipe, and does not wait for one', () => {
    const pipe = join(folder.path, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(() => files.digest(pipe, 10)).toThrow(/EINVAL/);
  });

  it('hashes a long file piece by piece', () => {
    const path = join(folder.path, 'long');
    const bytes = Buffer.alloc(200_001, 'x');
    writeFileSync(path, bytes);
    expect(files.digest(path, bytes.length)).toBe(createHash('sha256').update(bytes).digest('hex'));
  });
});

describe('the clock', () => {
  it('wakes at once when it is told to stop', async () => {
    const controller = new AbortController();
    const slept = clock.sleep(600_000, controller.signal);
    controller.abort();
    await slept;
    await clock.sleep(600_000, controller.signal);
  });
});

describe('the network', () => {
  let server: Server;
  let seen: { headers: IncomingMessage['headers']; url: string; body: Buffer }[];
  let answer: { status: number; body: string };
  beforeEach(async () => {
    seen = [];
    answer = {
      status: 200,
      body: '{"results":[{"seq":1,"status":"stored","message":null}],"expectedSeq":2}',
    };
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      seen.push({ headers: request.headers, url: request.url ?? '', body: Buffer.concat(chunks) });
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const network = () => createNetwork({ apiUrl: url(), token: () => 'glt_secret' });
  const batch = batchAt(newHead(nextStream()), 1);
  const failure = async (): Promise<ShipError> => {
    const error = await network()
      .send({ batches: [batch] })
      .catch((thrown: unknown) => thrown);
    if (!(error instanceof ShipError)) throw new Error(`not a ShipError: ${error}`);
    return error;
  };

  it('posts batches with the token, and compresses what is large', async () => {
    expect(await network().send({ batches: [batch] })).toEqual({
      results: [{ seq: 1, status: 'stored', message: null }],
      expectedSeq: 2,
    });
    await network().send({ batches: Array.from({ length: 20 }, () => batch) });
    const [small, large] = seen;
    expect(small?.url).toBe('/v1/batches');
    expect(small?.headers.authorization).toBe('Bearer glt_secret');
    expect(JSON.parse(small?.body.toString() ?? '')).toEqual({ batches: [batch] });
    expect(large?.headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(gunzipSync(large?.body ?? '').toString()).batches).toHaveLength(20);
  });

  it('tells what passes by itself from what does not, in the words of the service', async () => {
    answer = {
      status: 400,
      body: '{"title":"Bad","detail":"a field is wrong","errors":[{"field":"batches.0.body.seq","message":"must be an integer"}]}',
    };
    expect(await failure()).toMatchObject({
      permanent: true,
      message: 'HTTP 400: a field is wrong; batches.0.body.seq must be an integer',
    });
    answer = { status: 401, body: '{}' };
    expect(await failure()).toMatchObject({ permanent: true });
    expect((await failure()).message).toContain('gpuledger token create');
    answer = { status: 503, body: '<html>' };
    expect(await failure()).toMatchObject({ permanent: false, message: 'HTTP 503' });
    answer = { status: 429, body: '' };
    expect((await failure()).permanent).toBe(false);
    answer = { status: 302, body: '' };
    expect((await failure()).message).toContain('redirects');
    answer = { status: 200, body: '{"results":[{"seq":1,"status":"lost","message":null}],"expectedSeq":2}' };
    expect((await failure()).message).toContain('is it gpuledger?');
    answer = { status: 200, body: '<html>' };
    expect(await failure()).toMatchObject({ permanent: true });
    answer = { status: 200, body: 'x'.repeat(2 ** 21) };
    expect((await failure()).message).toContain('too long');
  });

  it('says that nothing answers', async () => {
    const gone = url();
    await new Promise((resolve) => server.close(resolve));
    const error = await createNetwork({ apiUrl: gone, token: () => 't' })
      .send({ batches: [] })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ permanent: false });
    expect(String(error)).toContain('cannot be reached');
    server.listen(0);
  });
});
