/**
 * The service as a process of its own, for the demo and its tests. Talks with its parent over the channel of `fork`:
 * tells its address and the tokens that it made, makes sign-in links when asked, and stops when told or left alone.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { createApp, createLog } from '../../api/app.ts';
import { systemClock } from '../../api/clock.ts';
import { ROLES } from '../../api/contract/primitives.ts';

const THIS_FILE = fileURLToPath(import.meta.url);
const START_MS = 30_000;
const STOP_MS = 15_000;

const TokenWish = z.object({
  name: z.string(),
  role: z.enum(ROLES),
  node: z.string().nullable(),
});
type TokenWish = z.infer<typeof TokenWish>;
const Order = z.discriminatedUnion('order', [
  z.object({
    order: z.literal('start'),
    dataFolder: z.string(),
    cluster: z.string(),
    port: z.int(),
    tokens: z.array(TokenWish),
  }),
  z.object({ order: z.literal('link') }),
  z.object({ order: z.literal('stop') }),
]);
type Order = z.infer<typeof Order>;
const Report = z.discriminatedUnion('report', [
  z.object({ report: z.literal('started'), url: z.string(), tokens: z.record(z.string(), z.string()) }),
  z.object({ report: z.literal('link'), link: z.string() }),
  z.object({ report: z.literal('failed'), message: z.string() }),
  z.object({ report: z.literal('stopped') }),
]);
type Report = z.infer<typeof Report>;

export interface ServiceProcess {
  readonly url: string;
  /** The token text of every wish, by its name. */
  token(name: string): string;
  signInLink(): Promise<string>;
  stop(): Promise<void>;
}

export interface ServiceProcessOptions {
  readonly dataFolder: string;
  readonly cluster: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tokens: readonly TokenWish[];
}

/** Throws an `Error` with the service's own words when it cannot start. */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const child = fork(THIS_FILE, ['serve'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const tell = (order: Order): void => {
    child.send(order);
  };
  const starting = next(child, START_MS);
  tell({ order: 'start', ...options, tokens: [...options.tokens] });
  const started = await starting;
  if (started.report !== 'started') {
    child.kill('SIGKILL');
    throw new Error(started.report === 'failed' ? started.message : 'the service said something else');
  }
  return {
    url: started.url,
    token: (name) => {
      const text = started.tokens[name];
      if (text === undefined) throw new RangeError(`no token was made for ${name}`);
      return text;
    },
    async signInLink() {
      const answer = next(child, START_MS);
      tell({ order: 'link' });
      const report = await answer;
      if (report.report !== 'link') throw new Error('the service made no link');
      return report.link;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      tell({ order: 'stop' });
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await gone;
      clearTimeout(timer);
    },
  };
}

function next(child: ChildProcess, timeoutMs: number): Promise<Report> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void): void => {
      clearTimeout(timer);
      child.off('exit', ended);
      child.off('message', heard);
      act();
    };
    const heard = (message: unknown): void => finish(() => resolve(Report.parse(message)));
    const ended = (): void => finish(() => reject(new Error('the service ended')));
    const timer = setTimeout(() => finish(() => reject(new Error('the service did not answer'))), timeoutMs);
    child.once('message', heard);
    child.once('exit', ended);
  });
}

async function serve(): Promise<void> {
  let app: Awaited<ReturnType<typeof createApp>> | null = null;
  const report = (message: Report): void => {
    process.send?.(message);
  };
  const stop = async (): Promise<void> => {
    await app?.stop();
    app = null;
    process.exit(0);
  };
  const start = async ({
    dataFolder,
    cluster,
    port,
    tokens,
  }: Extract<Order, { order: 'start' }>): Promise<void> => {
    const clock = systemClock;
    const log = createLog('warn');
    app = await createApp({ ...{ dataFolder, cluster, port, clock, log }, host: '127.0.0.1', demo: true });
    const { url } = await app.start();
    const made: Record<string, string> = {};
    for (const wish of tokens)
      made[wish.name] = (await app.services.tokens.create({ ...wish, accounts: null })).text;
    report({ report: 'started', url, tokens: made });
  };
  const obey = async (order: Order): Promise<void> => {
    if (order.order === 'stop') return stop();
    if (order.order === 'start') return start(order);
    if (app !== null) report({ report: 'link', link: await app.signInLink() });
  };
  process.on('message', (message) => {
    obey(Order.parse(message)).catch((error: unknown) => {
      report({ report: 'failed', message: messageOf(error) });
    });
  });
  // A signal from the terminal reaches the parent too, which stops the agents first and then says so.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  process.on('disconnect', () => void stop());
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && error.code === 'EADDRINUSE'
    ? 'the port is taken. Stop what uses it, or choose another with --port (0: any free one)'
    : error.message;
}

if (process.argv[1] === THIS_FILE && process.argv[2] === 'serve') await serve();
