import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProcessFact } from '../../api/contract/batch.ts';
import { type Service, startService } from './service.ts';
import { BOOT, caller, device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService(START + HOUR);
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  await service.stop();
});

const gpu = device('n1', 0);
const time = (ms: number) => new Date(ms).toISOString();
const slurm = (id: string) => `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0`;

/** A node's whole hour: `process` runs on its one device all the time. */
function fullHour(stream: Stream, hourMs: number, ...processes: ProcessFact[]) {
  return stream.batch(hourMs, hourMs + HOUR, {
    inventory: [gpu],
    processes,
    tenancies: [tenancy(gpu.uuid, hourMs, HOUR, ...processes)],
  });
}

const buckets = () =>
  service.rows(
    `SELECT (hour_ms - ${START}) / ${HOUR} AS hour, sum(used_ms) AS used, sum(held_ms) AS held,
       sum(unaccounted_ms) AS unaccounted, sum(idle_ms) AS idle, sum(unobserved_ms) AS unobserved
     FROM ledger_hours GROUP BY hour_ms ORDER BY hour_ms`,
  );
const cells = () =>
  service.rows(`SELECT (hour_ms - ${START}) / ${HOUR} AS hour, facts_seq AS seq FROM cells ORDER BY hour_ms`);

describe('a node-hour', () => {
  test('of a declared job is used, summed by hour and day', async () => {
    const process = processFact(10, { cgroup: slurm('7') });
    await service.declare({
      externalId: '7',
      user: 'alice',
      start: time(START),
      allocations: [{ node: 'n1', devices: [gpu.uuid] }],
    });
    await service.send(fullHour(new Stream('n1'), START, process));
    await service.attribution.whenIdle();
    expect(buckets()).toEqual([{ hour: 0, used: HOUR, held: 0, unaccounted: 0, idle: 0, unobserved: 0 }]);
    expect(service.rows('SELECT account, user_name, used_ms, allocated_ms FROM ledger_days')).toEqual([
      { account: 'physics', user_name: 'alice', used_ms: HOUR, allocated_ms: HOUR },
    ]);
    expect(service.rows('SELECT * FROM findings')).toEqual([]);
    expect(service.rows('SELECT * FROM dirty_hours')).toEqual([]);
  });

  test('that nobody declared is a finding: provisional first, settled when the wait is over', async () => {
    service.clock.set(START + HOUR + 10_000);
    await service.send(fullHour(new Stream('n1'), START, processFact(10)));
    await service.attribution.whenIdle();
    expect(service.rows('SELECT reason, state, active_ms, provisional_ms FROM findings')).toEqual([
      { reason: 'no_job', state: 'settled', active_ms: HOUR, provisional_ms: 50_000 },
    ]);
    service.clock.set(START + HOUR + MINUTE);
    await service.attribution.whenIdle();
    expect(service.rows('SELECT active_ms, provisional_ms FROM findings')).toEqual([
      { active_ms: HOUR, provisional_ms: 0 },
    ]);
    expect(service.rows('SELECT settles_at_ms FROM cells')).toEqual([{ settles_at_ms: null }]);
    expect(service.events).toContainEqual(
      expect.objectContaining({ type: 'finding', state: 'settled', running: true }),
    );
  });

  test('settles by time alone while the service runs, although nobody reports any more', async () => {
    service.attribution.start();
    service.clock.set(START + HOUR + 10_000);
    await service.send(fullHour(new Stream('n1'), START, processFact(10)));
    await service.attribution.whenIdle();
    const waiting = () => service.rows('SELECT provisional_ms AS ms FROM findings');
    expect(waiting()).toEqual([{ ms: 50_000 }]);
    service.clock.set(START + HOUR + MINUTE);
    await service.attribution.whenIdle();
    expect(waiting()).toEqual([{ ms: 0 }]);
  });

  test('grows batch by batch and is booked up to the newest', async () => {
    const stream = new Stream('n1');
    const process = processFact(10);
    await service.send(
      stream.batch(START, START + MINUTE, {
        inventory: [gpu],
        processes: [process],
        tenancies: [tenancy(gpu.uuid, START, MINUTE, process)],
      }),
    );
    await service.attribution.whenIdle();
    await service.send(
      stream.batch(START + MINUTE, START + 2 * MINUTE, {
        tenancies: [tenancy(gpu.uuid, START + MINUTE, MINUTE)],
      }),
    );
    await service.attribution.whenIdle();
    expect(buckets()).toEqual([
      { hour: 0, used: 0, held: 0, unaccounted: MINUTE, idle: MINUTE, unobserved: 0 },
    ]);
    expect(service.rows('SELECT booked_to_ms, capacity_ms FROM cells')).toEqual([
      { booked_to_ms: START + 2 * MINUTE, capacity_ms: 2 * MINUTE },
    ]);
  });

  test('one source process is one finding over hours, although its ancestors are gone', async () => {
    const parent = processFact(5, {
      comm: 'bash',
      executable: { path: '/usr/bin/bash', device: '8:1', inode: '1', deleted: false, fileSystem: null },
    });
    const child = processFact(10, { parent: parent.key });
    const stream = new Stream('n1');
    await service.send(
      stream.batch(START, START + HOUR, {
        inventory: [gpu],
        processes: [parent, child],
        tenancies: [tenancy(gpu.uuid, START, HOUR, child)],
      }),
    );
    service.clock.set(START + 3 * HOUR);
    await service.send(fullHour(stream, START + HOUR, child));
    await service.attribution.whenIdle();
    const findings = service.rows(
      'SELECT p.key, f.active_ms FROM findings f JOIN processes p ON p.process = f.process',
    );
    expect(findings).toEqual([{ key: parent.key, active_ms: 2 * HOUR }]);
  });
});

describe('what one hour tells of a process, another may need', () => {
  const bash = processFact(5, {
    comm: 'bash',
    executable: { path: '/usr/bin/bash', device: '8:1', inode: '1', deleted: false, fileSystem: null },
  });
  const child = processFact(10, { parent: bash.key });
  const roots = () =>
    service.rows(
      `SELECT p.key, f.active_ms AS ms FROM findings f JOIN processes p ON p.process = f.process
       WHERE f.resolved_at_ms IS NULL`,
    );

  test('an ancestor that only the older hour names, although the newer hour is attributed first', async () => {
    const stream = new Stream('n1');
    const older = fullHour(stream, START, bash, child);
    service.clock.set(START + 2 * HOUR + MINUTE);
    // The newer hour's processes changed and it is recent: it goes first.
    await service.send(older, fullHour(stream, START + HOUR, child));
    await service.attribution.whenIdle();
    expect(roots()).toEqual([{ key: bash.key, ms: 2 * HOUR }]);
  });

  test('an ancestor that comes late, from another stream', async () => {
    service.clock.set(START + 9 * HOUR);
    await service.send(fullHour(new Stream('n1'), START + HOUR, child));
    await service.attribution.whenIdle();
    expect(roots()).toEqual([{ key: child.key, ms: HOUR }]);
    await service.send(
      new Stream('n1', 'recovered').batch(START, START + MINUTE, {
        inventory: [gpu],
        processes: [bash, child],
      }),
    );
    await service.attribution.whenIdle();
    expect(roots()).toEqual([{ key: bash.key, ms: HOUR }]);
    const [heir] = service.rows('SELECT id FROM findings WHERE resolved_at_ms IS NULL');
    const [said] = service.rows('SELECT text FROM finding_history');
    expect(said?.['text']).toBe(
      'Until now 1 h 00 min were unaccounted (no job was tied to it). ' +
        `What later records do not cover is told in ${heir?.['id']} now.`,
    );
    const [row] = service.rows("SELECT comm, last_hour_ms FROM processes WHERE key LIKE '10/%'");
    expect(row).toEqual({ comm: 'python3', last_hour_ms: START + HOUR });
  });
});

describe('declarations re-attribute exactly what they touch', () => {
  beforeEach(async () => {
    service.clock.set(START + 5 * HOUR);
    const stream = new Stream('n1');
    const process = processFact(10, { cgroup: slurm('7') });
    for (const hour of [0, 1, 2, 3]) await service.send(fullHour(stream, START + hour * HOUR, process));
    const other = new Stream('n2');
    const otherGpu = device('n2', 0);
    await service.send(
      other.batch(START, START + HOUR, {
        inventory: [otherGpu],
        tenancies: [tenancy(otherGpu.uuid, START, HOUR)],
      }),
    );
    await service.attribution.whenIdle();
  });

  const seqs = () =>
    service.rows(
      `SELECT n.name AS node, (c.hour_ms - ${START}) / ${HOUR} AS hour, c.facts_seq AS seq
       FROM cells c JOIN nodes n ON n.node = c.node ORDER BY 1, 2`,
    );
  const changed = async (work: () => Promise<unknown>) => {
    const before = new Map(seqs().map((row) => [`${row['node']} ${row['hour']}`, row['seq']]));
    await work();
    await service.attribution.whenIdle();
    return seqs()
      .filter((row) => before.get(`${row['node']} ${row['hour']}`) !== row['seq'])
      .map((row) => `${row['node']} ${row['hour']}`);
  };
  const job = (more: Record<string, unknown> = {}) => ({
    externalId: '7',
    start: time(START + HOUR),
    end: time(START + 3 * HOUR),
    allocations: [{ node: 'n1', devices: [gpu.uuid] }],
    ...more,
  });

  test('a late one: the hours of its allocation, and those in which its boundary ran', async () => {
    expect(buckets().map((row) => row['unaccounted'])).toEqual([HOUR, HOUR, HOUR, HOUR]);
    expect(await changed(() => service.declare(job()))).toEqual(['n1 0', 'n1 1', 'n1 2', 'n1 3']);
    expect(buckets().map((row) => [row['used'], row['unaccounted']])).toEqual([
      [0, HOUR],
      [HOUR, 0],
      [HOUR, 0],
      [0, HOUR],
    ]);
    expect(service.rows('SELECT DISTINCT reason FROM entries WHERE reason IS NOT NULL ORDER BY 1')).toEqual([
      { reason: 'after_end' },
      { reason: 'before_start' },
    ]);
  });

  test('only an end that moves: the hours from the earlier end on', async () => {
    const id = await service.declare(job({ start: time(START), end: null }));
    await service.attribution.whenIdle();
    const patch = (end: number) => service.declarations.patchJob(caller('scheduler'), id, { end: time(end) });
    expect(await changed(() => patch(START + 3 * HOUR))).toEqual(['n1 3']);
    expect(await changed(() => patch(START + 2.5 * HOUR))).toEqual(['n1 2', 'n1 3']);
    expect(buckets().map((row) => row['used'])).toEqual([HOUR, HOUR, HOUR / 2, 0]);
  });

  test('only a name: nothing, although it is a version', async () => {
    const id = await service.declare(job());
    await service.attribution.whenIdle();
    expect(
      await changed(() => service.declarations.patchJob(caller('scheduler'), id, { name: 'again' })),
    ).toEqual([]);
    expect(service.rows('SELECT name FROM job_versions ORDER BY version')).toEqual([
      { name: '' },
      { name: 'again' },
    ]);
  });

  test('one without a trace of its processes: the hours of its allocation only', async () => {
    const reserved = job({ externalId: '99', boundaries: ['slurm:99'] });
    expect(await changed(() => service.declare(reserved))).toEqual(['n1 1', 'n1 2', 'n1 3']);
    // The hour after its end is touched for the grace alone.
    expect(service.rows(`SELECT sum(allocated_ms) AS ms FROM ledger_hours`)).toEqual([{ ms: 2 * HOUR }]);
  });

  test('the same one again: nothing', async () => {
    await service.declare(job());
    await service.attribution.whenIdle();
    expect(await changed(() => service.declare(job()))).toEqual([]);
    expect(service.rows('SELECT version FROM job_versions')).toEqual([{ version: 1 }]);
  });

  test('a corrected one: old and new hours, every version kept, and the earlier verdict remembered', async () => {
    const id = await service.declare(job());
    await service.attribution.whenIdle();
    await service.declarations.patchJob(caller('scheduler'), id, { end: time(START + 2 * HOUR) });
    await service.attribution.whenIdle();
    expect(buckets().map((row) => row['used'])).toEqual([0, HOUR, 0, 0]);
    expect(service.rows('SELECT version, end_ms, recorded_by FROM job_versions ORDER BY version')).toEqual([
      { version: 1, end_ms: START + 3 * HOUR, recorded_by: 'scheduler' },
      { version: 2, end_ms: START + 2 * HOUR, recorded_by: 'scheduler' },
    ]);
    expect(service.rows('SELECT text FROM finding_history ORDER BY ordinal')[0]).toEqual({
      text:
        'Until now 4 h 00 min were unaccounted. Later records cover 2 h 00 min of it: ' +
        'slurm 7 (version 1, recorded at 2026-10-05 13:00:00 UTC by scheduler).',
    });
    expect(service.rows('SELECT action FROM journal')).toEqual([
      { action: 'job.declare' },
      { action: 'job.change' },
    ]);
  });

  test('an account that changes moves the charge', async () => {
    const id = await service.declare(job());
    await service.declarations.patchJob(caller('scheduler'), id, { account: 'biology' });
    await service.attribution.whenIdle();
    expect(
      service.rows("SELECT account, sum(allocated_ms) AS ms FROM ledger_days WHERE account <> '' GROUP BY 1"),
    ).toEqual([{ account: 'biology', ms: 2 * HOUR }]);
  });

  test('one that covers a finding entirely resolves it', async () => {
    await service.declare(job({ start: time(START), end: time(START + 4 * HOUR) }));
    await service.attribution.whenIdle();
    expect(service.rows('SELECT active_ms, resolved_at_ms FROM findings')).toEqual([
      { active_ms: 0, resolved_at_ms: START + 5 * HOUR },
    ]);
    expect(service.rows('SELECT * FROM finding_parts')).toEqual([]);
  });
});

describe('sources', () => {
  test("a scheduler's watermark settles what waited for it", async () => {
    await service.declarations.putSource(caller('scheduler'), 'slurm', 'default', START + HOUR / 2);
    service.clock.set(START + 3 * HOUR);
    await service.send(fullHour(new Stream('n1'), START, processFact(10)));
    await service.attribution.whenIdle();
    expect(service.rows('SELECT provisional_ms FROM findings')).toEqual([{ provisional_ms: HOUR / 2 }]);
    await service.declarations.putSource(caller('scheduler'), 'slurm', 'default', START + HOUR);
    await service.attribution.whenIdle();
    expect(service.rows('SELECT provisional_ms FROM findings')).toEqual([{ provisional_ms: 0 }]);
  });

  test('a watermark inside an hour settles what lies before it', async () => {
    service.clock.set(START + 3 * HOUR);
    const put = (ms: number) =>
      service.declarations.putSource(caller('scheduler'), 'slurm', 'default', START + ms);
    await put(0);
    await service.send(fullHour(new Stream('n1'), START, processFact(10)));
    await service.attribution.whenIdle();
    await put(20 * MINUTE);
    await service.attribution.whenIdle();
    expect(service.rows('SELECT state, provisional_ms FROM findings')).toEqual([
      { state: 'settled', provisional_ms: 40 * MINUTE },
    ]);
  });

  test('a source that speaks for the first time makes what it could still declare wait', async () => {
    service.clock.set(START + 3 * HOUR);
    const stream = new Stream('n1');
    await service.send(
      fullHour(stream, START, processFact(10)),
      fullHour(stream, START + HOUR, processFact(10)),
    );
    await service.attribution.whenIdle();
    expect(service.rows('SELECT provisional_ms FROM findings')).toEqual([{ provisional_ms: 0 }]);
    await service.declarations.putSource(caller('scheduler'), 'slurm', 'default', START + HOUR + MINUTE);
    await service.attribution.whenIdle();
    expect(service.rows('SELECT provisional_ms FROM findings')).toEqual([{ provisional_ms: 59 * MINUTE }]);
  });

  test('a self-declared job counts from a minute before it was recorded', async () => {
    const process = processFact(10);
    const root = { node: 'n1', bootId: BOOT, pid: process.pid, startTicks: process.startTicks };
    service.clock.set(START + 31 * MINUTE);
    await service.send(
      new Stream('n1').batch(START, START + 30 * MINUTE, {
        inventory: [gpu],
        processes: [process],
        tenancies: [tenancy(gpu.uuid, START, 30 * MINUTE, process)],
      }),
    );
    service.clock.set(START + 21 * MINUTE);
    await service.declare({
      ...{ source: 'run', externalId: 'r1', start: time(START), root },
      allocations: [{ node: 'n1', devices: [gpu.uuid] }],
    });
    service.clock.set(START + 40 * MINUTE);
    await service.attribution.whenIdle();
    expect(buckets()).toMatchObject([{ used: 10 * MINUTE, unaccounted: 20 * MINUTE }]);
  });
});

describe('a node-hour that cannot be attributed', () => {
  test('is put off, says why, and does not stop the others', async () => {
    service.clock.set(START + 5 * HOUR);
    const stream = new Stream('n1');
    await service.send(
      fullHour(stream, START, processFact(10)),
      fullHour(stream, START + HOUR, processFact(10)),
    );
    service.tamper(`UPDATE batches SET body = '{' WHERE hour_ms = ${START}`);
    await service.attribution.whenIdle();
    expect(cells().map((row) => row['hour'])).toEqual([1]);
    expect(service.rows('SELECT failures, failure FROM dirty_hours')).toEqual([
      { failures: 1, failure: expect.stringContaining('JSON') },
    ]);
    expect(service.failures.splice(0)).toHaveLength(1);
  });

  test('waits for its next try although time alone would settle it', async () => {
    service.clock.set(START + HOUR + 10_000);
    await service.send(fullHour(new Stream('n1'), START, processFact(10)));
    await service.attribution.whenIdle();
    service.tamper("CREATE TRIGGER planted BEFORE INSERT ON cells BEGIN SELECT RAISE(ABORT, 'planted'); END");
    service.clock.set(START + HOUR + MINUTE);
    await service.attribution.whenIdle();
    await service.attribution.whenIdle();
    expect(service.rows('SELECT failures FROM dirty_hours')).toEqual([{ failures: 1 }]);
    expect(service.failures.splice(0)).toHaveLength(1);
  });
});
