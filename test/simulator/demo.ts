/** `npm run demo`: a simulated site with some days of history, then live, through the real agents and the real service. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { buildPages } from '../../api/cli/start.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { createFeed, type Feed } from './feed.ts';
import { createHistory, HISTORY_POLL_MS, type History } from './history.ts';
import { goLive, LIVE_POLL_SECONDS } from './live.ts';
import { showProgress } from './progress.ts';
import { createServiceClient, Ignored, LedgerTotal, type ServiceClient } from './service-client.ts';
import { type ServiceProcess, startServiceProcess } from './service-process.ts';
import { createSite, type Site } from './site.ts';

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const MINUTE_MS = 60_000;
/** After the agents run, the story waits this long: the page should be open by then. */
const STORY_AFTER_MS = 20_000;
/** Live agents go on where the history ends; it is brought this close to the present. */
const CLOSE_TO_NOW_MS = 5000;
const CATCH_UP_MS = 10 * MINUTE_MS;
const ASK_EVERY_MS = 500;

interface DemoOptions {
  readonly port: number;
  readonly days: number;
  readonly seed: number;
  readonly nodes: number;
  readonly live: boolean;
  readonly keep: boolean;
}

const number =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!(value >= least && value <= most))
      throw new InvalidArgumentError(`Give a number from ${least} to ${most}.`);
    return value;
  };

new Command('demo')
  .description('A simulated site: days of history, then live, with the real agents and the real service.')
  .option('--port <port>', 'where the service listens (0: any free port)', number(0, 65_535), 8470)
  .option('--days <days>', 'days of history', number(0.05, 31), 7)
  .option('--nodes <nodes>', 'nodes with 8 GPUs each', number(2, 64), 12)
  .option('--seed <seed>', 'another seed is another site', number(0, 2 ** 31), 1)
  .option('--no-live', 'load the history and end')
  .option('--keep', 'leave the temporary folder', false)
  .addHelpText('after', '\nExamples:\n  npm run demo\n  npm run demo -- --days 2 --port 0')
  .action(async (options: DemoOptions) => {
    process.exitCode = await demo(options);
  })
  .parse();

async function demo(options: DemoOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-demo-'));
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  /** What is to be stopped, in the reverse order of starting. */
  const running: (() => Promise<void>)[] = [];
  try {
    await run(options, folder, stopping.signal, running);
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    for (const stop of running.reverse()) await stop();
    if (options.keep) console.log(`Left in ${folder}`);
    else rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

async function run(
  options: DemoOptions,
  folder: string,
  stopping: AbortSignal,
  running: (() => Promise<void>)[],
): Promise<void> {
  const endMs = Math.floor(Date.now() / HISTORY_POLL_MS) * HISTORY_POLL_MS;
  const startMs = Math.floor((endMs - options.days * DAY_HOURS * HOUR_MS) / HOUR_MS) * HOUR_MS;
  if (options.live) await buildPages();
  const site = createSite({ seed: options.seed, nodes: Math.round(options.nodes), startMs, endMs });
  const service = await startService(options, folder, site);
  running.push(() => service.stop());
  const admin = createServiceClient(service.url, service.token('admin'));
  await admin.send('PUT', '/v1/fleet', Ignored, site.groups);
  await admin.send('PUT', '/v1/rates', Ignored, site.rates);
  const feed = createFeed(site.jobs, createServiceClient(service.url, service.token('scheduler')));
  const history = await loadHistory(site, service, feed, stopping);
  await catchUp(admin, site, stopping);
  await history.advance(Date.now());
  if (!options.live) {
    await history.stop();
    await tellTotals(admin, site);
    return;
  }
  await live(site, folder, service, feed, history, stopping, running);
}

function startService(options: DemoOptions, folder: string, site: Site): Promise<ServiceProcess> {
  const dataFolder = join(folder, 'data');
  mkdirSync(dataFolder);
  const agents = site.fleet.map(({ name }) => ({ name, role: 'agent', node: name }) as const);
  return startServiceProcess({
    ...{ dataFolder, cluster: site.cluster, port: options.port },
    tokens: [
      { name: 'admin', role: 'admin', node: null },
      { name: 'scheduler', role: 'scheduler', node: null },
      ...agents,
    ],
  });
}

async function loadHistory(
  site: Site,
  service: ServiceProcess,
  feed: Feed,
  stopping: AbortSignal,
): Promise<History> {
  const polls = Math.round((site.endMs - site.startMs) / HISTORY_POLL_MS) * site.fleet.length;
  const progress = showProgress('history', polls, 'polls');
  const startedMs = performance.now();
  const history = createHistory({
    ...{ cluster: site.cluster, nodes: site.fleet, startMs: site.startMs, feed },
    networkOf: ({ name }) => createNetwork({ apiUrl: service.url, token: () => service.token(name) }),
    onPolls: (done) => {
      progress.update(done);
      stopping.throwIfAborted();
    },
  });
  try {
    await history.advance(site.endMs);
  } finally {
    progress.stop();
  }
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(
    `Loaded ${history.polls()} polls of ${site.fleet.length} nodes and ${feed.declared()} jobs in ` +
      `${seconds.toFixed(0)} s (${Math.round(history.polls() / seconds)} polls/s).`,
  );
  return history;
}

const totals = (client: ServiceClient, site: Site, toMs: number): Promise<typeof LedgerTotal._output> => {
  const to = new Date(Math.ceil(toMs / HOUR_MS) * HOUR_MS).toISOString();
  const path = `/v1/ledger?from=${new Date(site.startMs).toISOString()}&to=${to}&group_by=day`;
  return client.send('GET', path, LedgerTotal);
};

/** Waits until nothing of what was sent is still to be booked. */
async function catchUp(client: ServiceClient, site: Site, stopping: AbortSignal): Promise<void> {
  const first = (await totals(client, site, site.endMs)).complete.pendingCells;
  if (first === 0) return;
  const progress = showProgress('ledger', first, 'cells');
  const deadlineMs = performance.now() + CATCH_UP_MS;
  try {
    for (;;) {
      stopping.throwIfAborted();
      const { pendingCells } = (await totals(client, site, site.endMs)).complete;
      progress.update(Math.max(0, first - pendingCells));
      if (pendingCells === 0) return;
      if (performance.now() > deadlineMs) throw new Error('the ledger did not catch up');
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  } finally {
    progress.stop();
  }
}

async function tellTotals(client: ServiceClient, site: Site): Promise<void> {
  const { total } = await totals(client, site, Date.now());
  const hours = (ms: number): string => `${(ms / HOUR_MS).toFixed(1)}`;
  const parts = total.usedMs + total.heldMs + total.unaccountedMs + total.idleMs + total.unobservedMs;
  console.log(
    `GPU-hours: capacity ${hours(total.capacityMs)} = used ${hours(total.usedMs)} + reserved, not active ${hours(total.heldMs)}` +
      ` + unaccounted ${hours(total.unaccountedMs)} + idle ${hours(total.idleMs)} + not measured ${hours(total.unobservedMs)}` +
      ` (difference ${total.capacityMs - parts} ms)`,
  );
}

async function live(
  site: Site,
  folder: string,
  service: ServiceProcess,
  feed: Feed,
  history: History,
  stopping: AbortSignal,
  running: (() => Promise<void>)[],
): Promise<void> {
  while (Date.now() - CLOSE_TO_NOW_MS > history.reachedMs()) await history.advance(Date.now());
  await history.stop();
  const liveSite = goLive({
    ...{ url: service.url, cluster: site.cluster, feed, folder: join(folder, 'nodes') },
    nodes: site.fleet.map((node, index) => ({
      ...{ node, token: service.token(node.name), spooled: history.spooled(index) },
    })),
    complain: (message) => console.error(`demo: ${message}`),
  });
  running.push(() => liveSite.stop());
  await tellTotals(createServiceClient(service.url, service.token('admin')), site);
  await liveSite.started;
  console.log(`Sign in: ${await service.signInLink()}`);
  console.log(
    `Live: ${site.fleet.length} agents poll every ${LIVE_POLL_SECONDS} s. In ${STORY_AFTER_MS / 1000} s something that nobody ` +
      `declared starts inside job ${site.rome.job.externalId} on ${site.rome.node.name}. Ctrl-C ends it all.`,
  );
  const story = setTimeout(() => site.rome.divert(site.random, site.pids, Date.now()), STORY_AFTER_MS);
  running.push(async () => clearTimeout(story));
  await new Promise<void>((resolve) => {
    if (stopping.aborted) resolve();
    stopping.addEventListener('abort', () => resolve());
  });
  console.log('Stopping.');
}
