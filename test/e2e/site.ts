/** One node's worth of the real thing: service and agent as processes of their own, a stand-in nvidia-smi, real pids. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Finding, FindingDetail } from '../../api/contract/findings.ts';
import type { NodeList, NodeOut } from '../../api/contract/fleet.ts';
import type { LedgerAnswer, Sums } from '../../api/contract/ledger.ts';
import { createFakeNvidiaSmi, type FakeNvidiaSmi } from '../fakes/nvidia-smi.ts';
import { type Program, startCommand, startProgram, temporaryFolder, until } from './processes.ts';

export const NODE = 'gpu-n1';
export const DEVICES = [
  'GPU-11111111-aaaa-4aaa-8aaa-000000000000',
  'GPU-11111111-aaaa-4aaa-8aaa-000000000001',
] as const;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export interface Site {
  readonly url: string;
  readonly folder: string;
  readonly data: string;
  readonly nvidiaSmi: FakeNvidiaSmi;
  startService(): Promise<Program>;
  servicePid(): number;
  /** SIGKILL: no goodbye, nothing flushed. */
  killService(): Promise<void>;
  startAgent(): Program;
  /** A program of a name of its own: a copy of /bin/sleep, so that /proc shows a path nobody else has. */
  executable(name: string): string;
  /** `gpuledger …` against this service as admin. */
  cli(args: readonly string[]): Program;
  get<T>(path: string): Promise<T>;
  /** Sums over the last two and the current UTC hour. */
  sums(): Promise<Sums>;
  nodes(): Promise<NodeOut[]>;
  findings(): Promise<Finding[]>;
  finding(id: string): Promise<FindingDetail>;
  signInLink(): string;
  /** A token as `gpuledger token create` makes it. */
  token(args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** The service runs when it resolves. `node` is what the agent calls itself, `devices` the UUIDs of what it has. */
export async function createSite(node = NODE, devices: readonly string[] = DEVICES): Promise<Site> {
  const temporary = temporaryFolder('e2e');
  const data = join(temporary.path, 'data');
  const tools = join(temporary.path, 'tools');
  mkdirSync(tools, { recursive: true });
  const nvidiaSmi = createFakeNvidiaSmi(join(temporary.path, 'smi'));
  nvidiaSmi.setDevices(devices.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const programs: Program[] = [];
  const keep = (program: Program): Program => {
    programs.push(program);
    return program;
  };
  const token = async (args: readonly string[]): Promise<string> => {
    const made = startProgram('api/cli/main.ts', ['token', 'create', '--data', data, ...args]);
    if ((await made.ended()) !== 0) throw new Error(made.output());
    const found = /glt_\S+/.exec(made.output());
    if (!found) throw new Error(`no token in: ${made.output()}`);
    return found[0];
  };
  const agentTokenFile = join(temporary.path, 'agent-token');
  let adminToken = '';

  const get = async <T>(path: string): Promise<T> => {
    const answer = await fetch(url + path, { headers: { authorization: `Bearer ${adminToken}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  let service: Program | null = null;
  const site: Site = {
    url,
    folder: temporary.path,
    data,
    nvidiaSmi,
    startService: async () => {
      const started = keep(
        startProgram('api/cli/main.ts', ['serve', '--data', data, '--port', String(port)]),
      );
      service = started;
      await until(
        'the service to be ready',
        async () => ((await fetch(`${url}/readyz`)).ok ? true : null),
        30_000,
        started.output,
      );
      return started;
    },
    servicePid: () => {
      if (service === null) throw new Error('the service does not run');
      return service.pid;
    },
    killService: async () => {
      await service?.kill('SIGKILL');
    },
    startAgent: () =>
      keep(
        startProgram('collector/cli/main.ts', [
          'run',
          ...['--api', url, '--cluster', 'main', '--node', node, '--token-file', agentTokenFile],
          ...['--spool', join(temporary.path, 'spool'), '--poll', '1', '--nvidia-smi', nvidiaSmi.path],
        ]),
      ),
    executable: (name) => {
      const path = join(tools, name);
      copyFileSync('/bin/sleep', path);
      return path;
    },
    cli: (args) =>
      keep(startProgram('api/cli/main.ts', args, { GPULEDGER_URL: url, GPULEDGER_TOKEN: adminToken })),
    get,
    sums: async () => {
      const hour = 3_600_000;
      const to = (Math.floor(Date.now() / hour) + 1) * hour;
      const range = `from=${new Date(to - 3 * hour).toISOString()}&to=${new Date(to).toISOString()}`;
      return (await get<LedgerAnswer>(`/v1/ledger?${range}&group_by=node`)).total;
    },
    nodes: async () => (await get<NodeList>('/v1/nodes')).items,
    findings: async () => (await get<{ items: Finding[] }>('/v1/findings')).items,
    finding: (id) => get<FindingDetail>(`/v1/findings/${id}`),
    signInLink: () => {
      const found = /http:\/\/\S+\/sign-in\?code=\S+/.exec(service?.output() ?? '');
      if (!found) throw new Error(`no sign-in link in: ${service?.output()}`);
      return found[0];
    },
    token,
    stop: async () => {
      await Promise.all(programs.map((program) => program.kill('SIGTERM')));
      temporary.remove();
    },
  };
  await site.startService();
  adminToken = await token(['--role', 'admin', '--name', 'e2e']);
  writeFileSync(agentTokenFile, await token(['--role', 'agent', '--node', node, '--name', node]), {
    mode: 0o600,
  });
  return site;
}

/** A program that nobody declared, started by a shell of its own so that it has a lineage to show. */
export function startUndeclared(executable: string): Program {
  return startCommand('/bin/sh', ['-c', `${executable} 600 & wait`]);
}
