/** The measurements of `bench:attribution`, one by one. */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import Database from 'better-sqlite3';
import type { Batch, BatchBody } from '../../api/contract/batch.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { computeNodeHour, decodeHour, type NodeHourInputs } from '../../api/services/node-hour.ts';
import { createSealer } from '../../api/services/seal.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from '../store/service.ts';
import { CLUSTER, HOUR, MINUTE } from '../store/site.ts';
import { job as domainJob } from '../unit/domain-facts.ts';
import type { Rates, Result, Times } from './attribution-table.ts';
import { createNodeDays, DAY, PROCESS_SPANS_PER_HOUR } from './node-days.ts';

/** 2026-10-04T00:00:00Z. */
const DAY_START = Date.UTC(2026, 9, 4);
const HOURS = Array.from({ length: 24 }, (_, hour) => DAY_START + hour * HOUR);
/** Of the first node-days, while the compiler warms up. */
const WARM_UP = 5;

const cpuMs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

interface Sample {
  readonly wallMs: number;
  readonly cpuMs: number;
}

async function sample(work: () => unknown): Promise<Sample> {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  await work();
  return { wallMs: performance.now() - startedMs, cpuMs: cpuMs(cpu) };
}

const at = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;

function timesOf(samples: readonly Sample[]): Times {
  const wall = samples.map((one) => one.wallMs).sort((a, b) => a - b);
  const cpu = samples.map((one) => one.cpuMs).sort((a, b) => a - b);
  return { medianMs: at(wall, 0.5), p99Ms: at(wall, 0.99), cpuMs: at(cpu, 0.5), count: samples.length };
}

/** Does `work` again and again for about as long. Gives the CPU that one time took. */
function cpuPerRun(work: () => void, leastMs = 1500): number {
  for (let warm = 0; warm < 3; warm += 1) work();
  const before = process.cpuUsage();
  let runs = 0;
  while (cpuMs(before) < leastMs) {
    work();
    runs += 1;
  }
  return cpuMs(before) / runs;
}

const jobOf = (job: string, node: string) => ({
  ...{ externalId: job, user: null, boundaries: [`slurm:${job}`], allocations: [{ node }] },
  ...{ start: new Date(DAY_START).toISOString(), end: new Date(DAY_START + DAY).toISOString() },
});

export function measureRates(): Rates {
  const days = createNodeDays('n1', '7', 1);
  const texts = HOURS.map((hourMs) => days.hour(hourMs).map(({ body }) => JSON.stringify(body)));
  const parse = (hour: readonly string[]): BatchBody[] => hour.map((text): BatchBody => JSON.parse(text));
  const devices = days.gpus.map(({ uuid: device }) => device);
  const whole = { node: 'n1', devices: null, count: null, fromMs: DAY_START, toMs: null, shareMilli: 1000 };
  const declared = domainJob('7', {
    ...{ cluster: CLUSTER, boundaries: ['slurm:7'], user: null, uid: null, allocations: [whole] },
    ...{ startMs: DAY_START, endMs: DAY_START + DAY, declares: { executables: [], root: null } },
  });
  const inputsOf = (hourMs: number, bodies: readonly BatchBody[]): NodeHourInputs => {
    const hour = { cluster: CLUSTER, nodeName: 'n1', hourMs };
    const decoded = decodeHour(hour, bodies, new Map());
    const capacity = [{ fromMs: hourMs, toMs: hourMs + HOUR }];
    return {
      ...{
        ...hour,
        decoded,
        processes: decoded.processes,
        bookedToMs: hourMs + HOUR,
        sources: [],
        jobs: [declared],
      },
      facts: {
        ...{ devices: devices.map((device) => ({ device, capacity })), reportsFromMs: DAY_START },
        ...{ policy: DEFAULT_POLICY, keyChanges: [] },
      },
      firstSeenElsewhere: new Map(),
    };
  };
  const spans = 24 * PROCESS_SPANS_PER_HOUR;
  const rate = (work: () => void): number => (1000 * spans) / cpuPerRun(work);
  const kept = HOURS.map((hourMs, hour) => inputsOf(hourMs, parse(texts[hour] ?? [])));
  const undeclared = kept.map((inputs) => ({ ...inputs, jobs: [] }));
  return {
    fromBatches: rate(() => {
      for (const [hour, hourMs] of HOURS.entries())
        computeNodeHour(inputsOf(hourMs, parse(texts[hour] ?? [])));
    }),
    fromMemory: rate(() => {
      for (const inputs of kept) computeNodeHour(inputs);
    }),
    undeclared: rate(() => {
      for (const inputs of undeclared) computeNodeHour(inputs);
    }),
    parsing: rate(() => {
      for (const text of texts) parse(text);
    }),
    sqliteJoin: rate(createSqliteJoin(texts.flatMap(parse))),
  };
}

/** What else could be done: rows of spans and of jobs, joined by time. */
function createSqliteJoin(bodies: readonly BatchBody[]): () => void {
  const database = new Database(':memory:');
  database.exec(`CREATE TABLE spans (process TEXT, from_ms INTEGER, to_ms INTEGER, active_ms INTEGER);
    CREATE TABLE jobs (job INTEGER, process TEXT, from_ms INTEGER, to_ms INTEGER, PRIMARY KEY (process, job)) WITHOUT ROWID`);
  const insert = database.prepare('INSERT INTO spans VALUES (?, ?, ?, ?)');
  const processes = new Set<string>();
  for (const { tenants, startMs, shareMs } of bodies.flatMap((body) => body.tenancies))
    for (const [index, { process }] of tenants.entries()) {
      insert.run(process, startMs, startMs + MINUTE, shareMs[index]?.[0] ?? 0);
      processes.add(process);
    }
  for (const process of processes)
    database.prepare('INSERT INTO jobs VALUES (1, ?, ?, ?)').run(process, DAY_START, DAY_START + DAY);
  const join = database.prepare(
    `SELECT j.job, s.process, s.from_ms / ${HOUR} AS hour, sum(s.active_ms) FROM spans s JOIN jobs j
     ON j.process = s.process AND j.from_ms < s.to_ms AND j.to_ms > s.from_ms GROUP BY 1, 2, 3`,
  );
  return () => void join.all();
}

async function sendDay(service: Service, node: string, job: string, seed: number): Promise<void> {
  const days = createNodeDays(node, job, seed);
  for (const hourMs of HOURS) await service.send(...days.hour(hourMs));
}

interface Site {
  readonly file: string;
  readonly nodes: number;
  readonly warm: readonly Sample[];
  readonly rows: number;
}

/** Days of `nodes` nodes whose job is declared when they are over; sealed in the end. */
export async function fillSite(nodes: number, say: (what: string) => void): Promise<Site> {
  const service = startService(DAY_START + DAY + 3 * HOUR);
  const warm: Sample[] = [];
  for (let index = 0; index < nodes; index += 1) {
    const [node, job] = [`n${index}`, String(100 + index)];
    await sendDay(service, node, job, index + 1);
    await service.attribution.whenIdle();
    await service.declare({ ...jobOf(job, node), account: 'late' });
    const one = await sample(() => service.attribution.whenIdle());
    if (index >= WARM_UP) warm.push(one);
    say(`${index + 1} of ${nodes} node-days`);
  }
  const [left] = service.rows('SELECT sum(unaccounted_ms) AS ms FROM ledger_hours');
  if (left?.['ms'] !== 0 || service.failures.length > 0)
    throw new Error(
      `the ledger is not what it must be: ${JSON.stringify(left)} ${service.failures[0] ?? ''}`,
    );
  const tables = ['cells', 'ledger_hours'];
  const count = tables.map((table) => `(SELECT count(*) FROM ${table} WHERE node = 1)`).join(' + ');
  const [counted] = service.rows(`SELECT ${count} AS n`);
  const sealer = createSealer(service.store, service.clock, {
    error: (_details, message) => {
      throw new Error(message);
    },
  });
  await sealer.tick();
  await service.stop();
  return { file: service.file, nodes, warm, rows: Number(counted?.['n']) };
}

/** `reopen` is the service with nothing in memory. */
export async function measureLateJob(site: Site, cold: number): Promise<Result['lateJob']> {
  const samples: Sample[] = [];
  const count = Math.min(cold, site.nodes);
  for (let index = 0; index < count; index += 1) {
    const service = startService(DAY_START + DAY + 3 * HOUR, site.file);
    await service.attribution.whenIdle();
    const [node, job] = [`n${index}`, String(100 + index)];
    await service.declare({ ...jobOf(job, node), account: 'later' });
    samples.push(await sample(() => service.attribution.whenIdle()));
    await service.stop();
  }
  const folder = dirname(site.file);
  return {
    ...{ warm: timesOf(site.warm), cold: timesOf(samples), rows: site.rows },
    sameRows: await measureInserts(folder, site.rows),
    oneRow: await measureInserts(folder, 1),
  };
}

/** As bare as it can be: no index, no deletion, six numbers and a word a row. */
async function measureInserts(folder: string, rows: number): Promise<Times> {
  const file = join(folder, 'limit.sqlite');
  const database = new Database(file);
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec(
    'CREATE TABLE rows (a INTEGER, b INTEGER, c INTEGER, d INTEGER, e INTEGER, f INTEGER, g TEXT)',
  );
  const insert = database.prepare('INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)');
  const write = database.transaction(() => {
    for (let row = 0; row < rows; row += 1)
      insert.run(row, DAY_START + row, row % 8, row % 24, row, row, 'used');
  });
  for (let warm = 0; warm < WARM_UP; warm += 1) write();
  const samples: Sample[] = [];
  for (let run = 0; run < 100; run += 1) samples.push(await sample(write));
  database.close();
  for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true });
  return timesOf(samples);
}

export async function measureEvidence(site: Site): Promise<Result['evidence']> {
  const store = openSqlite({ file: site.file, readOnly: true });
  const texts: string[] = [];
  let processSpans = 0;
  for (const { node } of await store.audit.listNodes())
    for (const hourMs of HOURS) {
      const batches = await store.batches.readHour({ node, hourMs });
      texts.push(batches.map((batch) => batch.body).join('\n'));
      if (batches.length > 0) processSpans += PROCESS_SPANS_PER_HOUR;
    }
  await store.close();
  const database = new Database(site.file);
  database.exec('VACUUM');
  const read = (sql: string): number => Number(database.prepare<[], number>(sql).pluck().get());
  const sealed = read(
    'SELECT sum(length(body)) FROM (SELECT body FROM sealed_hours UNION ALL SELECT body FROM sealed_texts)',
  );
  const whole = read('SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()');
  database.close();
  // Hour by hour, as they are sealed.
  const plain = texts.reduce((sum, text) => sum + zstdCompressSync(text).length, 0);
  return {
    processSpans,
    sealedBytesPerProcessSpan: sealed / processSpans,
    zstdBytesPerProcessSpan: plain / processSpans,
    databaseBytesPerProcessSpan: whole / processSpans,
  };
}

/** From the post of a batch with a new process to the event that pages get of its finding. */
export async function measureVisible(posts: number): Promise<Times> {
  const service = startService(DAY_START + HOUR);
  service.attribution.start();
  const samples: Sample[] = [];
  for (let index = 0; index < posts + WARM_UP; index += 1) {
    const [first]: readonly (Batch | undefined)[] = createNodeDays(`n${index}`, '7', index + 1).hour(
      DAY_START,
    );
    if (first === undefined) break;
    const known = service.events.length;
    const one = await sample(async () => {
      await service.send(first);
      while (!service.events.slice(known).some((event) => event.type === 'finding'))
        await new Promise((resolve) => setTimeout(resolve, 1));
    });
    if (index >= WARM_UP) samples.push(one);
  }
  await service.stop();
  return timesOf(samples);
}

/** CPU of unpacking and parsing every sealed hour, and of nothing else. */
export async function measureReading(file: string): Promise<number> {
  const store = openSqlite({ file, readOnly: true });
  const cpu = process.cpuUsage();
  for (const { node } of await store.audit.listNodes())
    for (const hourMs of HOURS)
      for (const batch of await store.batches.readHour({ node, hourMs }))
        if (batch.decoded === null) JSON.parse(batch.body);
  const used = cpuMs(cpu);
  await store.close();
  return used;
}
