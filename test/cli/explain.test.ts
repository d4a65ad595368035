/** `gpuledger explain` on a real data folder: the steps are there, and what they add up to is what was booked. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { JobIn } from '../../api/contract/jobs.ts';
import { type Service, startService } from '../http/service.ts';
import {
  agentOf,
  CLUSTER,
  caller,
  device,
  HOUR,
  handClock,
  MINUTE,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { run } from './gpuledger.ts';

const gpu = device('n1', 0);
const inJob = '0::/system.slice/slurmstepd.scope/job_8101/step_0/user/task_0\n';
const worker = processFact(10, { cgroup: inJob });
const other = processFact(11, {
  cgroup: inJob,
  comm: 'x\u001b[2J',
  executable: { path: '/tmp/other', device: '8:1', inode: '99', deleted: false, fileSystem: 'tmpfs' },
});

const Cell = z.object({
  capacityMs: z.int(),
  entries: z.array(z.object({ bucket: z.string(), reason: z.string().nullable(), ms: z.int() })),
  stored: z.object({ capacityMs: z.int(), entriesMs: z.int() }),
  processes: z.array(
    z.object({ pid: z.int(), verdicts: z.array(z.object({ reason: z.string().nullable() })) }),
  ),
});

let service: Service;
let finding = '';
beforeAll(async () => {
  service = await startService({ clock: handClock(START + 2 * HOUR), cluster: CLUSTER });
  const { declarations, ingest, queries } = service.app.services;
  await declarations.declareJob(
    caller('scheduler'),
    JobIn.parse({
      ...{ source: 'slurm', externalId: '8101', account: 'research', start: new Date(START).toISOString() },
      allocations: [{ node: 'n1', devices: [gpu.uuid] }],
      executables: ['/usr/bin/python3.11'],
    }),
  );
  const hour = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    processes: [worker, other],
    tenancies: [
      tenancy(gpu.uuid, START, 30 * MINUTE, worker),
      tenancy(gpu.uuid, START + 30 * MINUTE, 30 * MINUTE, other),
    ],
  });
  await ingest.accept(agentOf('n1'), post(hour));
  await declarations.putSource(caller('scheduler'), 'slurm', 'default', START + 2 * HOUR);
  await service.app.attribution.whenIdle();
  const { items } = await queries.findings(caller('admin'), {
    ...{ limit: 10, sort: 'lastSeen', order: 'desc' },
  });
  finding = items[0]?.id ?? '';
});
afterAll(() => service.stop());

const explain = (...args: string[]) => run(['explain', ...args, '--data', service.folder]);
const cell = `${gpu.uuid}@2026-10-05T08Z`;

describe('a cell', () => {
  test('adds up to its capacity, and to what is stored', async () => {
    const { code, stdout } = await explain(cell, '--json');
    expect(code).toBe(0);
    const explained = Cell.parse(JSON.parse(stdout));
    expect(explained.capacityMs).toBe(HOUR);
    expect(explained.stored).toEqual({ capacityMs: HOUR, entriesMs: HOUR });
    expect(explained.entries.map(({ bucket, reason, ms }) => [bucket, reason, ms])).toEqual([
      ['used', null, 30 * MINUTE],
      ['unaccounted', 'foreign_in_job', 30 * MINUTE],
    ]);
    expect(
      explained.processes.map(({ pid, verdicts }) => [pid, verdicts.map((step) => step.reason)]),
    ).toEqual([
      [10, [null]],
      [11, ['foreign_in_job']],
    ]);
  });

  test('reads as steps, with text of workloads made visible', async () => {
    const { code, stdout } = await explain(cell);
    expect(code).toBe(0);
    for (const step of ['1. What the agent sent', '3. Who held it', '6. What was booked'])
      expect(stdout).toContain(step);
    expect(stdout).toContain('cgroup names slurm 8101');
    expect(stdout).toContain(`Sum ${HOUR} ms, capacity ${HOUR} ms: difference 0 ms.`);
    expect(stdout).toContain('x\\x1b[2J');
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toContain('slurm 8101 does not cover it: The process is inside its kernel boundary, but');
  });
});

test('a finding is the sum of rows that lead to cells', async () => {
  const { code, stdout } = await explain(finding);
  expect(code).toBe(0);
  expect(stdout).toContain(`Sum: executing ${30 * MINUTE} ms, at least `);
  expect(stdout).toContain('resident 0 ms.');
  expect(stdout).toContain(`Next: gpuledger explain ${cell}`);
});

test('what is neither is said to be neither', async () => {
  const { code, stderr } = await explain('nothing');
  expect(code).toBe(1);
  expect(stderr).toContain('nothing is neither a finding nor a cell');
  expect((await explain(`GPU-none@2026-10-05T08Z`)).stderr).toContain('no device GPU-none had capacity');
});
