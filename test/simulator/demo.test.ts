/** The demo as a person starts it: it loads, signs in, goes live with agents of its own, and leaves nothing behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';

const DEMO = fileURLToPath(new URL('./demo.ts', import.meta.url));
const WAIT_MS = 45_000;
/** Building the pages, where they are older than their sources, is part of it. */
const TEST_MS = 60_000;

interface Demo {
  output(): string;
  /** What is left of its temporary folder. */
  leftOver(): string[];
  /** Command lines of agents that work in its folder. */
  agents(): string[];
  /** Resolves with the exit code. */
  ended(): Promise<number | null>;
  interrupt(): void;
}

/** The demo's temporary folder lies in one of our own, so that nobody else's is looked at. */
function startDemo(...args: string[]): Demo {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-demo-test-'));
  const child = spawn(process.execPath, [DEMO, ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
  const ended = once(child, 'close').then(() => child.exitCode);
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    leftOver: () => readdirSync(folder).filter((name) => name.startsWith('gpuledger-')),
    output: () => output,
    ended: () => ended,
    interrupt: () => void child.kill('SIGINT'),
    agents: () => commandLines().filter((line) => line.includes('/collector/cli/') && line.includes(folder)),
  };
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
}

test('a history alone: balanced books, exit code 0, no folder left', { timeout: TEST_MS }, async () => {
  const demo = startDemo('--port', '0', '--no-live', '--days', '0.2', '--nodes', '2');
  expect(await demo.ended(), demo.output()).toBe(0);
  expect(demo.output()).toMatch(/Loaded \d+ polls of 2 nodes and \d+ jobs in \d+ s/);
  expect(demo.output()).toMatch(/GPU-hours: capacity [\d.]+ = used .* \(difference 0 ms\)/);
  expect(demo.leftOver()).toEqual([]);
});

test('live: the page can be signed in to, every node has an agent, and Ctrl-C ends all of it', {
  timeout: TEST_MS,
}, async () => {
  const demo = startDemo('--port', '0', '--days', '0.05', '--nodes', '2');
  await vi.waitFor(() => expect(demo.output()).toMatch(/^Live: 2 agents/m), {
    timeout: WAIT_MS,
    interval: 100,
  });
  await vi.waitFor(() => expect(demo.agents()).toHaveLength(2), { timeout: WAIT_MS, interval: 100 });
  const link = /^Sign in: (\S+)$/m.exec(demo.output())?.[1] ?? '';
  const signedIn = await fetch(link, { redirect: 'manual' });
  expect(signedIn.headers.get('set-cookie')).toMatch(/HttpOnly/);
  demo.interrupt();
  expect(await demo.ended(), demo.output()).toBe(0);
  expect(demo.agents()).toEqual([]);
  expect(demo.leftOver()).toEqual([]);
  // Agents that had anything to complain about would have said so.
  expect(demo.output()).not.toMatch(/^demo: /m);
});

test('a taken port is a clear sentence', { timeout: TEST_MS }, async () => {
  const taken = createServer();
  onTestFinished(() => void taken.close());
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const demo = startDemo('--no-live', '--nodes', '2', '--port', String(port));
  expect(await demo.ended()).toBe(1);
  expect(demo.output()).toMatch(/^demo: the port is taken\. .*--port/m);
  expect(demo.leftOver()).toEqual([]);
});
