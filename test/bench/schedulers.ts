/**
 * `npm run bench:schedulers`: what following a Slurm cluster costs. A table on standard error, JSON on standard output.
 *
 *     node test/bench/schedulers.ts [--jobs 100000] [--backfill 1000000]
 *
 * Three things, one after the other: one answer of accounting of 50 MB and more, read row by row; a first start that reads
 * `--backfill` jobs of the past through a stand-in for sacct, with the memory that it needs on the way; and a day of
 * `--jobs` jobs, each declared when it begins and when it ends, into a real service with its database on disk. CPU is the
 * kernel's count of the process itself, without the stand-in.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { rowsOf } from '../../api/schedulers/slurm/answers.ts';
import { declarationOf } from '../../api/schedulers/slurm/declare.ts';
import { followSlurm } from '../../api/schedulers/slurm/follow.ts';
import { createMemory } from '../../api/schedulers/slurm/following.ts';
import { readJob } from '../../api/schedulers/slurm/job.ts';
import { createPrograms } from '../../api/schedulers/slurm/programs.ts';
import { SlurmSettings } from '../../api/schedulers/slurm/settings.ts';
import type { Declaration, SourceSink } from '../../api/schedulers/source.ts';
import { createSite } from '../e2e/site.ts';
import { createFakeSlurm } from '../schedulers/slurm/fake-slurm.ts';
import { HOUR } from '../store/site.ts';
import { createNodeDays } from './node-days.ts';
import { accountingAnswer } from './slurm-answers.ts';
import { cpuOf, memoryOf } from './usage.ts';

const MIB = 1024 * 1024;
const DAY = 86_400;
const ANSWER_JOBS = 30_000;
const BATCH = 500;
/** Nodes whose agents report while a day's jobs arrive, and for how many of their hours. */
const NODES = 8;
const INGEST_HOURS = 6;
const BATCHES_A_POST = 10;
const CLUSTER = 'lab';
/** What the service of the bench keeps. */
const CLUSTER_HERE = 'main';
const REFUSED = /"(?:refused|out_of_order|quarantined)"/;
const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '100000' },
    backfill: { type: 'string', default: '1000000' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  process.stdout.write(`npm run bench:schedulers -- [options]

  --jobs <count>      jobs of a day that go into a service (100000)
  --backfill <count>  jobs of the past that a first start reads (1000000)

A table on standard error, JSON on standard output.
`);
  process.exit(0);
}

const END = Math.floor(Date.now() / 1000);
const TERMS = {
  cluster: CLUSTER,
  noAccount: 'none',
  indicesAreMinors: true,
  shortNodeNames: false,
  nodes: new Map(),
};
const rss = (): number => memoryOf(process.pid).rssBytes / MIB;
const cpuMs = (pid = process.pid): number => cpuOf(pid).ownMs;

/** Runs of an answer that is made as it is read. */
async function readAnswer(jobs: number) {
  let bytes = 0;
  async function* chunks() {
    for (const part of accountingAnswer(jobs, DAY, END, { from: 0, to: END })) {
      bytes += part.length;
      yield part;
    }
  }
  // What making it costs is taken away.
  const made = cpuMs();
  for await (const _ of chunks());
  const makingMs = cpuMs() - made;
  bytes = 0;
  const before = { cpu: cpuMs(), rss: rss() };
  let declared = 0;
  let most = 0;
  for await (const row of rowsOf(chunks(), ['jobs'], 'lab')) {
    const { job } = readJob(row, { origin: 'accounting', nowMs: END * 1000, zoneless: true });
    if (job !== null && declarationOf(job, TERMS).declaration.account !== '') declared += 1;
    if (declared % 5000 === 0) most = Math.max(most, rss());
  }
  return {
    ...{ jobs: declared, mib: bytes / MIB, cpuMs: cpuMs() - before.cpu - makingMs },
    ...{ rssBeforeMib: before.rss, rssMostMib: Math.max(most, rss()) },
  };
}

/** A first start: all windows of the past, into a sink that only counts. */
async function backfill(jobs: number) {
  const fake = createFakeSlurm();
  const days = 30;
  const program = fileURLToPath(new URL('slurm-answers.ts', import.meta.url));
  const call = `${process.execPath} ${program} ${jobs} ${days * DAY} ${END}`;
  writeFileSync(join(fake.bin, 'sacct'), `#!/bin/sh\nexec ${call} "$@"\n`, { mode: 0o755 });
  const settings = SlurmSettings.parse({
    cluster: CLUSTER,
    bin: fake.bin,
    backfillDays: days + 1,
    pollSeconds: 5,
  });
  const stop = new AbortController();
  const samples: { jobs: number; rssMib: number }[] = [];
  let declared = 0;
  const sink: SourceSink = {
    declare: async (some) => {
      declared += some.length;
    },
    complete: async () => void samples.push({ jobs: declared, rssMib: rss() }),
    endMissing: async () => stop.abort(),
    conditions: async () => undefined,
    problem: ({ message }) => console.error(message),
  };
  const startedMs = performance.now();
  const cpu = cpuMs();
  const slurm = createPrograms(settings, () => undefined);
  const following = { slurm, settings, memory: createMemory(), sink, signal: stop.signal, nowMs: Date.now };
  await followSlurm(following, null).catch((error) => {
    if (!stop.signal.aborted) throw error;
  });
  fake.remove();
  const most = (from: number, to: number): number =>
    Math.max(
      0,
      ...samples.filter((one) => one.jobs > from * jobs && one.jobs <= to * jobs).map((one) => one.rssMib),
    );
  return {
    ...{ jobs: declared, seconds: (performance.now() - startedMs) / 1000, cpuMs: cpuMs() - cpu },
    ...{ rssFirstTenthMib: most(0, 0.15), rssHalfMib: most(0.15, 0.6), rssEndMib: most(0.6, 1) },
  };
}

/** Each of ten minutes on one GPU, spread over a day and 64 nodes. */
const declarationNumber = (i: number, jobs: number, ended: boolean): Declaration => {
  const start = END - DAY + Math.floor((i / jobs) * (DAY - 700));
  const job = {
    ...{
      job_id: 1000 + i,
      job_state: ended ? 'COMPLETED' : 'RUNNING',
      user_name: `user${i % 40}`,
      user_id: 2000 + (i % 40),
    },
    ...{
      account: 'research',
      name: `train-${i}`,
      nodes: `gpu${1 + (i % 64)}`,
      cluster: CLUSTER,
      partition: 'gpu',
      qos: 'normal',
    },
    ...{
      submit_time: start - 3,
      start_time: start,
      end_time: start + 600,
      gres_detail: [`gpu:h100:1(IDX:${i % 8})`],
    },
  };
  const read = readJob(job, { origin: 'controller', nowMs: END * 1000, zoneless: true }).job;
  if (read === null) throw new Error('no job');
  return declarationOf(read, TERMS).declaration;
};

type Post = (path: string, token: string, body: unknown) => Promise<void>;

/** Each job twice: when it begins, with its devices, and when it ends. */
async function sendJobs(jobs: number, token: string, post: Post): Promise<void> {
  for (let from = 0; from < jobs; from += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, jobs - from) }, (_, at) => from + at);
    for (const ended of [false, true])
      await post('/v1/jobs/bulk', token, { jobs: some.map((i) => declarationNumber(i, jobs, ended)) });
  }
}

/** The latest hours of nodes whose GPUs are busy and on which such jobs run, as their agents would send them. */
async function sendHours(node: string, token: string, post: Post): Promise<void> {
  const days = createNodeDays(node, '7', Number(node.slice(3)), CLUSTER_HERE);
  const lastHour = Math.floor((END * 1000) / HOUR) * HOUR;
  for (let hourMs = lastHour - INGEST_HOURS * HOUR; hourMs < lastHour; hourMs += HOUR) {
    const batches = days.hour(hourMs);
    for (let at = 0; at < batches.length; at += BATCHES_A_POST)
      await post('/v1/batches', token, { batches: batches.slice(at, at + BATCHES_A_POST) });
  }
}

/** A real service with its database on disk; what of jobs and of ingest it takes in is up to the caller. */
async function intoService(jobs: number, nodes: number) {
  const site = await createSite();
  const scheduler = await site.token(['--role', 'scheduler', '--name', 'bench']);
  const names = Array.from({ length: nodes }, (_, at) => `gpu${at + 1}`);
  const agents: string[] = [];
  for (const node of names) agents.push(await site.token(['--role', 'agent', '--node', node]));
  const reader = await site.token(['--role', 'viewer', '--name', 'bench']);
  const metrics = async (): Promise<string> => {
    const answer = await fetch(`${site.url}/metrics`, { headers: { authorization: `Bearer ${reader}` } });
    return answer.text();
  };
  const service = site.servicePid();
  let bytes = 0;
  const post: Post = async (path, token, content) => {
    const body = JSON.stringify(content);
    if (path.endsWith('bulk')) bytes += body.length;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(site.url + path, { method: 'POST', headers, body });
    const text = await answer.text();
    if (!answer.ok || REFUSED.test(text)) throw new Error(`${path}: ${answer.status} ${text.slice(0, 1000)}`);
  };
  const before = { service: cpuMs(service), own: cpuMs(), at: performance.now() };
  await Promise.all([
    sendJobs(jobs, scheduler, post),
    ...names.map((node, at) => sendHours(node, agents[at] ?? '', post)),
  ]);
  // Until everything is attributed.
  while (!/^gpuledger_attribution_backlog(?:\{.*\})? 0$/m.test(await metrics())) await rest(200);
  const seconds = (performance.now() - before.at) / 1000;
  const result = {
    ...{
      jobs,
      declarations: 2 * jobs,
      nodeHours: nodes * INGEST_HOURS,
      seconds,
      bytesPerJob: bytes / Math.max(1, jobs),
    },
    ...{ serviceCpuMs: cpuMs(service) - before.service, runnerCpuMs: cpuMs() - before.own },
    serviceRssMib: memoryOf(service).rssBytes / MIB,
  };
  await site.stop();
  return result;
}

const answer = await readAnswer(ANSWER_JOBS);
const past = await backfill(Number(values.backfill));
const jobsAlone = await intoService(Number(values.jobs), 0);
const ingestAlone = await intoService(0, NODES);
const together = await intoService(Number(values.jobs), NODES);
/** In percent of one core: the jobs are a day's, and each node's hours are scaled to a day of it. */
const jobsPercent = ((jobsAlone.serviceCpuMs + jobsAlone.runnerCpuMs) / 1000 / DAY) * 100;
const besidePercent = ((together.serviceCpuMs - ingestAlone.serviceCpuMs) / 1000 / DAY) * 100;
const ingestPercent = (ingestAlone.serviceCpuMs / 1000 / (INGEST_HOURS * 3600)) * 100;

const seconds = (ms: number): string => (ms / 1000).toFixed(0);

const table = new Table({ head: ['', 'measured', 'goal'], style: { head: [], border: [], compact: true } });
table.push(
  ['one answer of sacct', `${answer.mib.toFixed(0)} MiB, ${answer.jobs} jobs`, '50 MB and more'],
  [
    '  CPU',
    `${(answer.cpuMs / 1000).toFixed(2)} s, ${(answer.mib / (answer.cpuMs / 1000)).toFixed(0)} MiB/s`,
    '',
  ],
  [
    '  memory',
    `${answer.rssBeforeMib.toFixed(0)} MiB before, ${answer.rssMostMib.toFixed(0)} at most`,
    'streamed',
  ],
  [
    'backfill',
    `${past.jobs} jobs in ${past.seconds.toFixed(0)} s, ${(past.cpuMs / 1000).toFixed(0)} s of CPU`,
    '',
  ],
  [
    '  memory after 15 %, 60 %, 100 %',
    `${past.rssFirstTenthMib.toFixed(0)}, ${past.rssHalfMib.toFixed(0)}, ${past.rssEndMib.toFixed(0)} MiB`,
    'flat',
  ],
  [
    'a day of jobs into the service',
    `${jobsAlone.jobs} jobs, ${jobsAlone.declarations} declarations in ${jobsAlone.seconds.toFixed(0)} s`,
    '',
  ],
  [
    '  CPU of service and runner',
    `${seconds(jobsAlone.serviceCpuMs)} and ${seconds(jobsAlone.runnerCpuMs)} s: ${jobsPercent.toFixed(2)} % of one core's day`,
    'room to spare',
  ],
  ['  bytes a job', jobsAlone.bytesPerJob.toFixed(0), ''],
  [
    `the same beside ingest of ${together.nodeHours} node-hours`,
    `${seconds(together.serviceCpuMs)} s of the service's CPU for both, ${seconds(ingestAlone.serviceCpuMs)} without the jobs`,
    '',
  ],
  [
    '  the jobs beside ingest, and ingest of a node',
    `${besidePercent.toFixed(2)} % and ${(ingestPercent / NODES).toFixed(3)} % of one core's day`,
    'room to spare',
  ],
  ['  memory of the service', `${together.serviceRssMib.toFixed(0)} MiB`, ''],
);
process.stderr.write(`${table.toString()}\n`);
process.stdout.write(
  `${JSON.stringify({ answer, backfill: past, jobsAlone, ingestAlone, together }, null, 2)}\n`,
);
