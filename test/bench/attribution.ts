/**
 * `npm run bench:attribution`: how fast time is attributed, and again after a late job, beside a limit or a peer measured
 * in the same run. A table on standard error, JSON on standard output.
 *
 *     node test/bench/attribution.ts [--node-days 30] [--cold 10] [--posts 50] [--threads 2]
 *
 * A node-day is 8 GPUs with one or two processes each in windows of 60 seconds, sent as 1,440 batches. The rebuilding of
 * a month is scaled from these node-days by the CPU that they took (that of starting threads counts once), and the table
 * says so. Durations are of the clock, with the CPU of the process beside them: on a loaded machine only the latter says
 * something.
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

/** CPU of threads that have nothing to do. */
async function measureStart(file: string, threads: number): Promise<number> {
  const cpu = process.cpuUsage();
  await Promise.all(
    createVerifyThreads(file, threads).map((thread) => thread([], { signatures: false }, () => {})),
  );
  const { user, system } = process.cpuUsage(cpu);
  return (user + system) / 1000;
}

/** From sealed facts to every cell, compared with what is stored; the signatures apart. */
async function measureRebuild(file: string, threads: number): Promise<Result['rebuild']> {
  const readingCpuMs = await measureReading(file);
  const startCpuMs = await measureStart(file, threads);
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
  const monthCpuMs = startCpuMs + ((cpuMs - startCpuMs) / nodeHours) * MONTH_NODE_HOURS;
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
