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
import { accountingAnswer } from './slurm-answers.ts';
import { cpuOf, memoryOf } from './usage.ts';

const MIB = 1024 * 1024;
const DAY = 86_400;
const ANSWER_JOBS = 30_000;
const BATCH = 500;
const { values } = parseArgs({
  options: { jobs: { type: 'string', default: '100000' }, backfill: { type: 'string', default: '1000000' } },
});

const END = Math.floor(Date.now() / 1000);
const TERMS = {
  cluster: 'lab',
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
    cluster: 'lab',
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

/** Each job twice: when it begins, with its devices, and when it ends. */
async function intoService(jobs: number) {
  const site = await createSite();
  const token = await site.token(['--role', 'scheduler', '--name', 'bench']);
  const service = site.servicePid();
  let bytes = 0;
  const send = async (some: readonly Declaration[]): Promise<void> => {
    const body = JSON.stringify({ jobs: some });
    bytes += body.length;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${site.url}/v1/jobs/bulk`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
  };
  const declaration = (i: number, ended: boolean): Declaration => {
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
        cluster: 'lab',
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
  const before = { service: cpuMs(service), own: cpuMs(), at: performance.now() };
  for (let from = 0; from < jobs; from += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, jobs - from) }, (_, at) => from + at);
    await send(some.map((i) => declaration(i, false)));
    await send(some.map((i) => declaration(i, true)));
  }
  const seconds = (performance.now() - before.at) / 1000;
  const result = {
    ...{ jobs, declarations: 2 * jobs, seconds, bytesPerJob: bytes / jobs },
    ...{ serviceCpuMs: cpuMs(service) - before.service, runnerCpuMs: cpuMs() - before.own },
    serviceRssMib: memoryOf(service).rssBytes / MIB,
  };
  await site.stop();
  return result;
}

const answer = await readAnswer(ANSWER_JOBS);
const past = await backfill(Number(values.backfill));
const day = await intoService(Number(values.jobs));
const percentOfDay = ((day.serviceCpuMs + day.runnerCpuMs) / 1000 / DAY) * 100;

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
    `${day.jobs} jobs, ${day.declarations} declarations in ${day.seconds.toFixed(0)} s`,
    '',
  ],
  [
    '  CPU of service and runner',
    `${(day.serviceCpuMs / 1000).toFixed(0)} and ${(day.runnerCpuMs / 1000).toFixed(0)} s: ${percentOfDay.toFixed(2)} % of one core's day`,
    'room to spare',
  ],
  ['  bytes a job', day.bytesPerJob.toFixed(0), ''],
);
process.stderr.write(`${table.toString()}\n`);
process.stdout.write(`${JSON.stringify({ answer, backfill: past, day }, null, 2)}\n`);
