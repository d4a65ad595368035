/** What the process table reports of the most hostile process fits the wire. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BATCH_SCHEMA, CHAIN_START } from '../../api/contract/batch.ts';
import { BatchRequestSchema } from '../../api/contract/batch-schema.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { ProcFixture } from './proc-fixture.ts';

const T = 1_700_001_000_000;
let proc: ProcFixture;
beforeEach(() => {
  proc = new ProcFixture();
});
afterEach(() => proc.destroy());

it('fits, whatever a process calls itself', () => {
  const hostile = Buffer.from([...Array(256).keys()].slice(1));
  proc.put({ pid: 1, parent: 0, comm: 'init', exe: null });
  proc.put({
    pid: 4_194_303,
    startTicks: 1e12,
    comm: hostile,
    cmdline: Buffer.concat([hostile, Buffer.alloc(1), Buffer.alloc(131_000, '\\')]),
    environ: Array.from({ length: 99 }, (_, index) => `SLURM_JOB_ID=${index}${'\x1b'.repeat(5000)}\0`).join(
      '',
    ),
    cgroup: `9:cpu:/${'\x1b'.repeat(4000)}\n0::/${'\x1b'.repeat(4000)}\n`,
    exe: `/${'x'.repeat(250)}`,
  });
  const table = createProcessTable({ files, clock }, { procRoot: proc.root, passwdPath: proc.passwd });
  for (let step = 0; step < 12; step += 1) {
    proc.write('4194303/cgroup', `0::/${step}${'\\'.repeat(4000)}\n`);
    proc.link('4194303/exe', `/${step}${'\\'.repeat(200)}`);
    table.observe([4_194_303, 77], T + step * 31_000);
  }
  const { facts, personal } = table.liveFacts();
  const body = {
    schema: BATCH_SCHEMA,
    cluster: 'c',
    node: 'n',
    stream: 's',
    seq: 1,
    previousHash: CHAIN_START,
    bootId: table.bootId(),
    agentVersion: '1',
    driverVersion: null,
    pollIntervalMs: 5000,
    fromMs: T,
    toMs: T,
    inventory: null,
    processes: facts,
    tenancies: [],
    gaps: [],
    connections: [],
    ...{ accounted: [], holders: [], dials: [], integrity: [], tools: null, host: null },
    clockSteps: [],
    problems: table.takeProblems(),
  };
  expect(facts).toHaveLength(3);
  const parsed = BatchRequestSchema.safeParse({ batches: [{ body, hash: CHAIN_START, personal }] });
  expect(parsed.error?.issues ?? []).toEqual([]);
});
