// The program itself as a child process, over a stand-in tool, under faults of the machine: it must go on by itself.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import type { BatchBody, BatchRequest } from '../../api/contract/batch.ts';
import { temporaryFolder } from '../collector/spool-fixture.ts';
import { createFakeNvidiaSmi, type FakeNvidiaSmi } from '../fakes/nvidia-smi.ts';

const bin = fileURLToPath(new URL('../../collector/bin.js', import.meta.url));
const UUID = 'GPU-22222222-aaaa-4aaa-8aaa-000000000000';
interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  output(): string;
}

/** A node of its own for each test, since they run side by side. */
class LiveNode {
  readonly folder = temporaryFolder();
  readonly smi: FakeNvidiaSmi = createFakeNvidiaSmi(join(this.folder.path, 'smi'));
  readonly spool = join(this.folder.path, 'spool');
  readonly bodies: BatchBody[] = [];
  readonly #children: ChildProcess[] = [];
  /** A service that takes everything, so that what arrives is what the agent said. */
  readonly #server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    const { batches }: BatchRequest = JSON.parse(text.toString());
    this.bodies.push(...batches.map(({ body }) => body));
    const results = batches.map(({ body }) => ({ seq: body.seq, status: 'stored', message: null }));
    response.end(JSON.stringify({ results, expectedSeq: (batches.at(-1)?.body.seq ?? 0) + 1 }));
  }).listen(0, '127.0.0.1');

  /** `within`: a control group that it is started in. */
  async start(path = dirname(this.smi.path), within = '/dev/null'): Promise<Started> {
    this.smi.setDevices([{ uuid: UUID, index: 0, model: 'NVIDIA H100' }]);
    if (!this.#server.listening) await once(this.#server, 'listening');
    const address = this.#server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const args = ['--api', `http://127.0.0.1:${port}`, '--poll', '1', '--ship', '5', '--node', 'n1'];
    const enter = 'echo 0 > "$0"; exec "$@"';
    const command = [process.execPath, bin, 'run', ...args, '--spool', this.spool];
    const child = spawn('/bin/sh', ['-c', enter, within, ...command], {
      env: { PATH: `${path}:/usr/bin:/bin`, GPULEDGER_TOKEN: 'glt_x' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
    return { child, ended, output: () => text };
  }

  measuredMs(): number {
    const lengths = this.bodies.flatMap(({ tenancies }) => tenancies.flatMap(({ lengthMs }) => lengthMs));
    return lengths.reduce((a, b) => a + b, 0);
  }

  reasons(): Set<string> {
    return new Set(this.bodies.flatMap(({ gaps }) => gaps.map(({ reason }) => reason)));
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#server.closeAllConnections();
    this.#server.close();
    this.folder.remove();
  }
}

/** A test with a node of its own; it goes when the test has ended, however it ended. */
const onNode = (what: string, act: (node: LiveNode) => Promise<void>): void =>
  it.concurrent(what, async ({ onTestFinished }) => {
    const node = new LiveNode();
    onTestFinished(() => node.close());
    await act(node);
  }, 180_000);
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 20));
};
onNode('its log is closed, as when the terminal or the collector of logs goes: it goes on', async (node) => {
  const agent = await node.start();
  await until(() => node.bodies.length > 0);
  agent.child.stderr?.destroy();
  agent.child.stdout?.destroy();
  // Two lines that nobody can take.
  node.smi.setFault({ text: 'Failed to initialize NVML: Unknown Error', exitCode: 255 });
  await until(() => node.reasons().has('tool_failed'));
  node.smi.setFault(null);
  const before = node.measuredMs();
  await until(() => node.measuredMs() > before + 2000);
  expect(agent.child.exitCode).toBeNull();
  agent.child.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
});

onNode('stopped by SIGSTOP and let go: poll_late, and nothing is credited for that time', async (node) => {
  const agent = await node.start();
  await until(() => node.measuredMs() > 1000);
  agent.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 4500));
  agent.child.kill('SIGCONT');
  await until(() => node.reasons().has('poll_late'));
  agent.child.kill('SIGTERM');
  await agent.ended;
  const late = node.bodies.flatMap(({ gaps }) => gaps).filter(({ reason }) => reason === 'poll_late');
  expect(late.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0)).toBeGreaterThanOrEqual(4400);
  const spans = node.bodies.flatMap(({ tenancies }) => tenancies.map(({ lengthMs }) => lengthMs)).flat();
  const stretch =
    Math.max(...node.bodies.map(({ toMs }) => toMs)) - Math.min(...node.bodies.map(({ fromMs }) => fromMs));
  expect(spans.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(stretch - 4400);
});

onNode('out of file descriptors: it says so, stays, and measures again when there are some', async (node) => {
  const agent = await node.start();
  await until(() => node.measuredMs() > 0);
  const pid = agent.child.pid ?? 0;
  const limits = (soft: number): Promise<unknown> =>
    once(spawn('prlimit', ['--pid', String(pid), `--nofile=${soft}:4096`]), 'close');
  // Its three outputs and no other: whatever it has open stays so, and nothing can be opened.
  await limits(3);
  await until(() => /EMFILE|descriptors/.test(agent.output()));
  expect(agent.child.exitCode).toBeNull();
  await limits(4096);
  const before = node.measuredMs();
  await until(() => node.measuredMs() > before + 1000);
  agent.child.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
  expect(
    [...node.reasons()].filter(
      (reason) => !['tool_failed', 'spool_full', 'poll_late', 'processes_unreadable'].includes(reason),
    ),
  ).toEqual([]);
});

/** A control group that may have so much memory, and how to end it; null where this account may make none. */
function memoryGroup(bytes: number): { procs: string; kills: () => number; remove: () => void } | null {
  for (const [root, limit, events] of [
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.oom_control'],
    ['/sys/fs/cgroup', 'memory.max', 'memory.events'],
  ] as const) {
    const folder = join(root, `gpuledger-test-${process.pid}`);
    try {
      mkdirSync(folder);
    } catch {
      continue;
    }
    const remove = (): void => rmdirSync(folder);
    try {
      writeFileSync(join(folder, limit), String(bytes));
      const kills = (): number =>
        Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(folder, events), 'utf8'))?.[1]);
      return { procs: join(folder, 'cgroup.procs'), kills, remove };
    } catch {
      remove();
    }
  }
  return null;
}

it.concurrent('96 MiB of memory, with nvidia-smi in them: it starts, measures, and nothing is killed', async (test) => {
  const group = memoryGroup(96 * 1024 * 1024);
  if (group === null) return test.skip('no control group with a limit of memory can be made here');
  const node = new LiveNode();
  test.onTestFinished(group.remove);
  test.onTestFinished(() => node.close());
  const agent = await node.start(dirname(node.smi.path), group.procs);
  await until(() => node.measuredMs() > 3000 || agent.child.exitCode !== null);
  expect(group.kills()).toBe(0);
  agent.child.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
  expect([...node.reasons()].filter((reason) => reason !== 'poll_late')).toEqual([]);
}, 60_000);

onNode('no nvidia-smi on its path: it stays, and SIGHUP ends it in order', async (node) => {
  const late = join(node.folder.path, 'late');
  mkdirSync(late);
  const agent = await node.start(late);
  await until(() => agent.output().includes('nvidia-smi was not found'));
  await until(() => node.bodies.length > 0);
  expect(agent.child.exitCode).toBeNull();
  agent.child.kill('SIGHUP');
  expect(await agent.ended).toBe(0);
});

onNode('its spool is removed while it runs: it makes it again', async (node) => {
  const agent = await node.start();
  await until(() => node.measuredMs() > 0);
  rmSync(node.spool, { recursive: true, maxRetries: 5 });
  const before = node.measuredMs();
  await until(() => node.measuredMs() > before + 2000);
  agent.child.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
  expect(JSON.parse(readFileSync(join(node.spool, 'stream.json'), 'utf8')).stoppedAtMs).toBeGreaterThan(0);
});
