/** A real Slurm that keeps no control groups (proctrack/linuxproc): what its steps started is known by its lineage. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobList } from '../../api/contract/jobs.ts';
import { type Program, until } from '../e2e/processes.ts';
import { createSite, type Site } from '../e2e/site.ts';
import { type Lab, pidOf, startLab, whyNot } from './lab.ts';

const NODE = 'gn1';
const device = (index: number): string => `GPU-33333333-bbbb-4bbb-8bbb-00000000000${index}`;

describe.skipIf(whyNot() !== null)('a real Slurm without control groups', () => {
  let site: Site;
  let lab: Lab;
  let runner: Program;

  beforeAll(async () => {
    site = await createSite(NODE, [0, 1, 2, 3].map(device));
    const token = await site.token(['--role', 'scheduler', '--name', 'slurm']);
    lab = startLab(site.url, token, 'linuxproc');
    site.startAgent();
    await until('the node to enrol', async () => ((await site.nodes()).length > 0 ? true : null));
    const config = join(site.folder, 'sources.yaml');
    const tokenFile = join(site.folder, 'slurm-token');
    writeFileSync(tokenFile, token, { mode: 0o600 });
    const slurm = { kind: 'slurm', cluster: 'lab', conf: lab.conf, pollSeconds: 1, backfillDays: 1 };
    writeFileSync(config, JSON.stringify({ service: { url: site.url, tokenFile }, sources: [slurm] }));
    runner = site.cli(['sources', 'run', '--config', config]);
  }, 120_000);

  afterAll(async () => {
    await runner?.kill('SIGTERM');
    lab?.stop();
    await site?.stop();
  }, 60_000);

  test('use of a job is its own, and what lives on after it is found with its name', {
    timeout: 180_000,
  }, async () => {
    const trainer = lab.executable('trainer');
    const id = lab.submit('alice', ['--gres=gpu:a100:1', '-w', NODE], `${trainer} 600`);
    const pid = await pidOf(trainer);
    site.nvidiaSmi.setProcesses([{ device: device(0), pid, sm: 80, memoryBytes: 2 ** 30 }]);
    const run = (what: string, holds: (job: JobList['items'][number]) => boolean) =>
      until(
        what,
        async () => {
          const { items } = await site.get<JobList>('/v1/jobs?source=slurm');
          return items.find((job) => job.externalId === id && holds(job)) ?? null;
        },
        60_000,
        () => runner.output(),
      );
    expect(await run('use of the job', ({ use }) => use.usedMs > 2000)).toMatchObject({
      use: { unaccountedInsideMs: 0 },
    });

    // Nobody is left to end it.
    process.kill(lab.pidOfDaemon('slurmd.gn1'), 'SIGKILL');
    lab.slurm('scontrol', 'update', `NodeName=${NODE}`, 'State=DOWN', 'Reason=fan broken');
    await run('the end of the job', (job) => job.end !== null);
    const orphan = await until(
      'a finding about it',
      async () => (await site.findings()).find((one) => one.reasons.includes('after_end')),
      60_000,
    );
    expect((await site.finding(orphan.id)).insideJob).toMatchObject({ externalId: id });
  });
});
