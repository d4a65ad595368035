/**
 * `npm run bench:attribution`: how fast time is attributed, and again after a late job, beside a limit or a peer measured
 * in the same run. A table on standard error, JSON on standard output.
 *
 *     node test/bench/attribution.ts [--node-days 30] [--cold 10] [--posts 50] [--threads 2]
 *
 * A node-day is 8 GPUs with one or two processes each in windows of 60 seconds, sent as 1,440 batches. The rebuilding of
 * a month is scaled from these node-days by the CPU that the second half of them took more (starting threads and
 * compiling count once), and the table says so. Durations are of the clock, with the CPU of the process beside them: on a
 * loaded machine only the latter says something.
 */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { createVerifyThreads } from '../../api/cli/verify-threads.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import {
  fillSite,
  measureEvidence,
  measureLateJob,
  measureRates,
  measureReading,
  measureVisible,
} from './attribution-parts.ts';
import { type Result, showTable } from './attribution-table.ts';
import { PROCESS_SPANS_PER_HOUR } from './node-days.ts';

/** A month of 1,000 GPUs, 8 a node. */
const MONTH_NODE_HOURS = (1000 / 8) * 30 * 24;
const CORES = 2;

const { values } = parseArgs({
  options: {
    'node-days': { type: 'string', default: '30' },
    cold: { type: 'string', default: '10' },
    posts: { type: 'string', default: '50' },
    threads: { type: 'string', default: String(CORES) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  process.stdout.write(`npm run bench:attribution -- [options]

  --node-days <count>  node-days with a late job each (30)
  --cold <count>       of these again after a restart (10)
  --posts <count>      posts that are followed until pages are told (50)
  --threads <count>    of the rebuilding (2)

A table on standard error, JSON on standard output.
`);
  process.exit(0);
}
const say = (what: string): boolean => process.stderr.write(`${what} …\n`);

/** The same for the first half of the nodes, whose threads start and compile as much as those of all. */
async function measureHalf(
  file: string,
  threads: number,
): Promise<{ readonly cpuMs: number; readonly hours: number }> {
  const store = openSqlite({ file, readOnly: true });
  const nodes = (await store.audit.listNodes()).map(({ node }) => node);
  await store.close();
  const half = nodes.slice(0, Math.floor(nodes.length / 2));
  const cpu = process.cpuUsage();
  let hours = 0;
  await Promise.all(
    createVerifyThreads(file, threads).map((thread, at) =>
      thread(
        half.filter((_, index) => index % threads === at),
        { signatures: false },
        () => {
          hours += 1;
        },
      ),
    ),
  );
  const { user, system } = process.cpuUsage(cpu);
  return { cpuMs: (user + system) / 1000, hours };
}

/** From sealed facts to every cell, compared with what is stored; the signatures apart. */
async function measureRebuild(file: string, threads: number): Promise<Result['rebuild']> {
  const readingCpuMs = await measureReading(file);
  const half = await measureHalf(file, threads);
  const store = openSqlite({ file, readOnly: true });
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  let nodeHours = 0;
  const report = await verify(
    store,
    ({ doneHours }) => {
      nodeHours = doneHours;
    },
    { signatures: false },
    createVerifyThreads(file, threads),
  );
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  await store.close();
  if (!report.ok)
    throw new Error(`the ledger is not what its facts say: ${JSON.stringify(report.differences[0])}`);
  const cpuMs = (user + system) / 1000;
  // What the second half of the nodes took is what each further node takes.
  const hourCpuMs = (cpuMs - half.cpuMs) / (nodeHours - half.hours);
  const startCpuMs = cpuMs - hourCpuMs * nodeHours;
  const monthCpuMs = startCpuMs + hourCpuMs * MONTH_NODE_HOURS;
  const scaledSeconds = monthCpuMs / 1000 / CORES;
  return { threads, nodeHours, wallMs, cpuMs, startCpuMs, readingCpuMs, scaledSeconds };
}

say('rates');
const rates = measureRates();
const site = await fillSite(Number(values['node-days']), say);
say('after a restart');
const lateJob = await measureLateJob(site, Number(values.cold));
say('rebuilding');
const rebuild = await measureRebuild(site.file, Number(values.threads));
const evidence = await measureEvidence(site);
rmSync(dirname(site.file), { recursive: true, force: true });
say('from a post to what pages are told');
const visible = await measureVisible(Number(values.posts));
const result: Result = {
  processSpansPerNodeDay: 24 * PROCESS_SPANS_PER_HOUR,
  ...{ rates, lateJob, rebuild, evidence, visible },
};
process.stderr.write(showTable(result));
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
