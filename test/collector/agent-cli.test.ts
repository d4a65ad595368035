// The program itself, as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from './spool-fixture.ts';

const bin = fileURLToPath(new URL('../../collector/bin.js', import.meta.url));
let folder: ReturnType<typeof temporaryFolder>;
let children: ChildProcess[];
beforeEach(() => {
  folder = temporaryFolder();
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  folder.remove();
});

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  output(): string;
}

function start(args: readonly string[], env: Record<string, string> = { GPULEDGER_TOKEN: 'glt_x' }): Started {
  const child = spawn(process.execPath, [bin, ...args], { env: { PATH: folder.path, ...env } });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  return { child, ended: once(child, 'close').then(([code, signal]) => code ?? signal), output: () => text };
}
const spool = (): string => join(folder.path, 'spool');
const runArgs = (): string[] => ['run', '--api', 'http://127.0.0.1:1', '--poll', '1', '--spool', spool()];
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 20));
};

describe('gpuledger-agent', () => {
  it('without nvidia-smi or a service says so in a line each, stays up, and stops in order', async () => {
    const agent = start(runArgs());
    await until(() => agent.output().includes('batches cannot be sent'));
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    const lines = agent.output().trim().split('\n');
    expect(lines.filter((line) => line.includes('nvidia-smi was not found'))).toHaveLength(1);
    expect(lines.at(-1)).toMatch(/stopped$/);
    expect(lines).toHaveLength(5);
    const head = JSON.parse(readFileSync(join(spool(), 'stream.json'), 'utf8'));
    expect(head.stoppedAtMs).toBeGreaterThan(0);
    expect(readdirSync(join(spool(), head.stream))).not.toEqual([]);
    expect(existsSync(join(spool(), 'agent.lock'))).toBe(false);
  });

  it('describes its machine within moments, from a program of its own', async () => {
    const env = { GPULEDGER_TOKEN: 'glt_x', PATH: String(process.env['PATH']) };
    const agent = start([...runArgs(), '--ship', '5', '--nvidia-smi', '/nonexistent'], env);
    const batches = (): string[] => {
      const head = join(spool(), 'stream.json');
      if (!existsSync(head)) return [];
      const stream = join(spool(), JSON.parse(readFileSync(head, 'utf8')).stream);
      return readdirSync(stream)
        .filter((name) => name.endsWith('.json'))
        .map((name) => readFileSync(join(stream, name), 'utf8'));
    };
    const told = (): string[] => batches().filter((text) => /"host":\{"operatingSystem":/.test(text));
    await until(() => told().length > 0);
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(told()).toHaveLength(1);
  });

  it('does not share its spool with another agent, but takes it over from one that was killed', async () => {
    const first = start(runArgs());
    await until(() => existsSync(join(spool(), 'stream.json')));
    const second = start(runArgs());
    expect(await second.ended).toBe(2);
    expect(second.output()).toContain(`another agent (pid ${first.child.pid}) uses the spool folder`);
    first.child.kill('SIGKILL');
    await first.ended;
    const third = start(runArgs());
    await until(() => third.output().includes('watches'));
    third.child.kill('SIGINT');
    expect(await third.ended).toBe(0);
  });

  it('says what is missing or wrong, without a stack', async () => {
    const noToken = start(runArgs(), {});
    expect(await noToken.ended).toBe(2);
    expect(noToken.output()).toContain('gpuledger token create');
    const noFolder = start([...runArgs(), '--spool', '/dev/null/none']);
    expect(await noFolder.ended).toBe(2);
    expect(noFolder.output()).toMatch(
      /^gpuledger-agent: cannot use the spool folder \/dev\/null\/none: .*\(--spool\)\.\n$/,
    );
    const noApi = start(['run']);
    expect(await noApi.ended).toBe(2);
    expect(noApi.output()).toMatch(/^gpuledger-agent: --api \(or GPULEDGER_URL\)/);
  });

  it('explains itself with examples', async () => {
    const help = start(['run', '--help']);
    expect(await help.ended).toBe(0);
    expect(help.output()).toContain('Examples:');
  });
});
