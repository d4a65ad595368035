/**
 * A real Slurm: jobs by sbatch, real processes in its control groups, its prolog and epilog, the real agent and the real
 * service. Only the devices are stand-ins. Where its packages are not installed, this is skipped, and says so.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { JobList, JobRow } from '../../api/contract/jobs.ts';
import type { SourceList } from '../../api/contract/sources.ts';
import { createSlurmSource, SlurmSettings } from '../../api/schedulers/slurm/source.ts';
import type { Declaration, SourceSink } from '../../api/schedulers/source.ts';
import { type Program, until } from '../e2e/processes.ts';
import { createSite, type Site } from '../e2e/site.ts';
import { hasControlGroups, type Lab, pidOf, startLab, whyNot } from './lab.ts';

const GIB = 2 ** 30;
const NODE = 'gn1';
const device = (index: number): string => `GPU-22222222-bbbb-4bbb-8bbb-00000000000${index}`;
const reason = whyNot();
const grouped = hasControlGroups();
if (reason !== null) console.log(`skipped: tests with a real Slurm (${reason})`);
else if (!grouped)
  console.log('skipped: jobs of a real Slurm by their control groups (none can be made here)');

describe.skipIf(reason !== null)('a real Slurm', () => {
  let site: Site;
  let lab: Lab;
  let runner: Program;
  const stop = new AbortController();
  const strangers: ReturnType<typeof spawn>[] = [];

  beforeAll(async () => {
    site = await createSite(NODE, [0, 1, 2, 3].map(device));
    const token = await site.token(['--role', 'scheduler', '--name', 'slurm']);
    lab = startLab(site.url, token);
    site.startAgent();
    await until('the node to enrol', async () => ((await site.nodes()).length > 0 ? true : null));
    const config = join(site.folder, 'sources.yaml');
    const tokenFile = join(site.folder, 'slurm-token');
    writeFileSync(tokenFile, token, { mode: 0o600 });
    const slurm = { kind: 'slurm', cluster: 'lab', conf: lab.conf, pollSeconds: 1, backfillDays: 1 };
    // JSON is YAML.
    writeFileSync(config, JSON.stringify({ service: { url: site.url, tokenFile }, sources: [slurm] }));
    runner = site.cli(['sources', 'run', '--config', config]);
    const tried = site.cli(['sources', 'test', '--config', config]);
    expect([await tried.ended(), tried.output()]).toEqual([
      0,
      expect.stringContaining('2 nodes with 6 GPUs'),
    ]);
  }, 120_000);

  afterAll(async () => {
    stop.abort();
    await runner?.kill('SIGTERM');
    for (const { pid } of strangers) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    lab?.stop();
    await site?.stop();
  }, 60_000);

  /** Runs of a job, the first one first. */
  const runsOf = async (id: string): Promise<JobRow[]> =>
    (await site.get<JobList>('/v1/jobs?source=slurm')).items
      .filter((job) => job.externalId === id)
      .sort((a, b) => a.incarnation - b.incarnation);
  const when = (what: string, id: string, holds: (run: JobRow, all: readonly JobRow[]) => boolean) =>
    until(
      what,
      async () => {
        const runs = await runsOf(id);
        const last = runs.at(-1);
        return last !== undefined && holds(last, runs) ? runs : null;
      },
      60_000,
    );
  const finding = (executable: string, why: string) =>
    until(
      `a finding about ${executable}: ${why}`,
      async () =>
        (await site.findings()).find(
          (one) => one.source.executable === executable && one.reasons.includes(why),
        ),
      60_000,
      () => runner.output(),
    );
  const use = (index: number, pid: number, sm = 50) => ({ device: device(index), pid, sm, memoryBytes: GIB });
  /** Outside of every job, as another session of a user is. */
  const stranger = (user: string, path: string, env: Record<string, string> = {}): void => {
    const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    strangers.push(
      spawn('runuser', ['-u', user, '--', 'env', ...settings, path, '600'], {
        stdio: 'ignore',
        detached: true,
      }),
    );
  };

  test.skipIf(!grouped)(
    'each use lands in the right place with the right job',
    { timeout: 240_000 },
    async () => {
      const path = (name: string) => lab.executable(name);
      const names = ['trainer', 'evaluator', 'stray', 'spoofed', 'session', 'requeued'] as const;
      const [trainer, evaluator, stray, spoofed, session, requeued] = names.map(path) as [
        ...[string, string, string, string, string, string],
      ];
      const train = lab.submit(
        'alice',
        ['--gres=gpu:a100:2', '-J', 'train', '--comment=RL-42'],
        `${trainer} 600`,
      );
      await pidOf(trainer);
      const evaluate = lab.submit(
        'bob',
        ['--gres=gpu:1', '-w', NODE, '-J', 'x|y\n999|999|forged|alice|research|gpu|RUNNING'],
        `${stray} 600 & ${evaluator} 600; wait`,
      );
      const tasks = lab.submit('bob', ['--array=0-1', '-w', 'gn2'], 'true');
      const [trainerPid, evaluatorPid, strayPid] = [
        await pidOf(trainer),
        await pidOf(evaluator),
        await pidOf(stray),
      ];
      stranger('alice', spoofed, { SLURM_JOB_ID: train, SLURM_JOBID: train });
      stranger('alice', session);
      const others = [use(3, strayPid), use(3, await pidOf(spoofed)), use(3, await pidOf(session))];
      site.nvidiaSmi.setProcesses([use(0, trainerPid, 80), use(2, evaluatorPid, 60), ...others]);

      // Used, and held: of two devices that the job has, one computes.
      const [run] = await when(
        'use of the job',
        train,
        ({ use: { usedMs, heldMs } }) => usedMs > 2000 && heldMs > 2000,
      );
      expect(run).toMatchObject({
        ...{ account: 'research', user: 'alice', name: 'train', sourceInstance: 'lab', end: null },
        allocations: [{ node: NODE, indices: [0, 1], devices: [device(0), device(1)], share: 1 }],
        attributes: { partition: 'gpu', comment: 'RL-42' },
      });
      const [other] = await when('use of the other job', evaluate, ({ use: { usedMs } }) => usedMs > 2000);
      expect(other).toMatchObject({ account: 'infra', user: 'bob', allocations: [{ devices: [device(2)] }] });
      expect(await runsOf('999')).toEqual([]);

      // What no declaration covers, each by its own reason.
      const outside = await finding(stray, 'outside_allocation');
      expect((await site.finding(outside.id)).insideJob).toMatchObject({ externalId: evaluate });
      await finding(spoofed, 'unverified_claim');
      const alone = await finding(session, 'no_job');
      expect((await site.finding(alone.id)).insideJob).toBeNull();

      // Each task of an array is a job of its own; without devices it is known all the same.
      const array = await until('both tasks', async () => {
        const { items } = await site.get<JobList>('/v1/jobs?source=slurm');
        const found = items.filter(
          (one) => one.attributes['array']?.startsWith(`${tasks}_`) === true && one.end !== null,
        );
        return found.length === 2 ? found : null;
      });
      expect(new Set(array.map((one) => one.externalId)).size).toBe(2);
      expect(array.flatMap((one) => one.allocations)).toEqual([]);

      // A requeued job runs twice: two runs, each with its own use.
      const again = lab.submit('bob', ['--gres=gpu:1', '-w', NODE, '--requeue'], `${requeued} 600`);
      const firstPid = await pidOf(requeued);
      const busy = [use(0, trainerPid, 80), use(2, evaluatorPid, 60)];
      site.nvidiaSmi.setProcesses([...busy, use(3, firstPid)]);
      await when('use of the first run', again, (one) => one.use.usedMs > 1000);
      lab.slurm('scontrol', 'requeue', again);
      // Slurm puts the next start two minutes off, for its node refuses one in the second in which the first run was
      // ended, and the job would be held: two seconds are enough.
      let pendingSinceMs = Infinity;
      await until(
        'the second run',
        () => {
          const state = lab.slurm('squeue', '-h', '-j', again, '-o', '%T').trim();
          if (state === 'RUNNING') return true;
          if (state !== 'PENDING') return null;
          pendingSinceMs = Math.min(pendingSinceMs, performance.now());
          if (performance.now() - pendingSinceMs > 2000)
            lab.slurm('scontrol', 'update', `JobId=${again}`, 'StartTime=now');
          return null;
        },
        120_000,
        () => lab.slurm('scontrol', 'show', 'job', again) + lab.slurm('sinfo', '-R', '-N', '-l'),
      );
      site.nvidiaSmi.setProcesses([...busy, use(3, await pidOf(requeued, firstPid))]);
      const [first, second] = await when(
        'use of the second run',
        again,
        (one, all) => all.length === 2 && one.use.usedMs > 1000,
      );
      expect(first?.end).not.toBeNull();
      expect(second).toMatchObject({
        end: null,
        allocations: [{ indices: [3] }],
        attributes: { restarts: '1' },
      });

      // A job that Slurm gives up while its processes live on: slurmd is dead, and its node is set down.
      process.kill(lab.pidOfDaemon('slurmd.gn1'), 'SIGKILL');
      lab.slurm('scontrol', 'update', `NodeName=${NODE}`, 'State=DOWN', 'Reason=fan broken');
      const [over] = await when('the end of the job', train, (one) => one.end !== null);
      expect(over).toMatchObject({ allocations: [{ indices: [0, 1] }] });
      const orphan = await finding(trainer, 'after_end');
      expect((await site.finding(orphan.id)).insideJob).toMatchObject({ externalId: train });

      // The books balance, and nothing that Slurm said was unreadable.
      const sums = await site.sums();
      expect(sums.usedMs + sums.heldMs + sums.unaccountedMs + sums.idleMs + sums.unobservedMs).toBe(
        sums.capacityMs,
      );
      expect(sums.usedMs).toBeGreaterThan(0);
      expect(sums.unaccountedMs).toBeGreaterThan(0);
      const source = (await site.get<SourceList>('/v1/sources')).items.find((one) => one.source === 'slurm');
      expect(source).toMatchObject({
        sourceInstance: 'lab',
        lagging: false,
        health: { state: 'following', problems: [] },
      });
    },
  );

  test('says the same by JSON, by text and through slurmrestd', { timeout: 120_000 }, async () => {
    const ended = async (more: Record<string, unknown>): Promise<string[]> => {
      const declared = await declaredBy({
        cluster: 'lab',
        conf: lab.conf,
        pollSeconds: 1,
        backfillDays: 1,
        ...more,
      });
      return declared
        .filter((job) => job.end !== null)
        .map(
          ({ externalId, incarnation, start, end, account }) =>
            `${externalId} ${incarnation} ${start} ${end} ${account}`,
        )
        .sort();
    };
    for (const gres of ['--gres=gpu:1', '--gres=shard:3', '--array=0-1'])
      lab.submit('bob', ['-w', 'gn2', gres], 'true');
    await until('all of them to end', () =>
      lab.slurm('squeue', '-h', '-w', 'gn2').trim() === '' &&
      lab.slurm('squeue', '-h', '-u', 'bob', '-t', 'CD').split('\n').length > 4
        ? true
        : null,
    );
    // Accounting hears of an end a moment later than the controller.
    await until('accounting', () =>
      lab.slurm('sacct', '-a', '-X', '-n', '-s', 'R', '-N', 'gn2').trim() === '' ? true : null,
    );
    const known = await ended({});
    expect(known.length).toBeGreaterThan(3);
    expect(await ended({ bin: lab.withoutJson() })).toEqual(known);
    const rest = lab.startRest();
    if (rest === null) return;
    expect(await ended({ rest: { url: rest } })).toEqual(known);
    const answers = await createSlurmSource(
      SlurmSettings.parse({ cluster: 'elsewhere', rest: { url: rest } }),
    ).check(stop.signal);
    expect(answers.find((one) => one.name === 'nodes')).toMatchObject({ ok: true });
    await expect(declaredBy({ cluster: 'elsewhere', rest: { url: rest } })).rejects.toThrow(
      'of cluster lab, not of elsewhere',
    );
    await expect(declaredBy({ cluster: 'elsewhere', conf: lab.conf })).rejects.toThrow('of cluster lab');
  });
});

/** All that a source declares until it has caught up. */
async function declaredBy(settings: z.input<typeof SlurmSettings>): Promise<Declaration[]> {
  const declared: Declaration[] = [];
  const stop = new AbortController();
  const sink: SourceSink = {
    declare: async (jobs) => void declared.push(...jobs),
    complete: async () => undefined,
    endMissing: async () => stop.abort(),
    conditions: async () => undefined,
    problem: () => undefined,
  };
  await createSlurmSource(SlurmSettings.parse(settings)).follow(null, sink, stop.signal);
  return declared;
}
