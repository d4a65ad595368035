/**
 * The main claim, end to end: real processes, the real agent, the real service and a real browser. Only the GPU is a
 * stand-in: an executable `nvidia-smi` that names the pids of these real processes.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobList } from '../../api/contract/jobs.ts';
import { openBrowser } from './browser.ts';
import { startProgram, until } from './processes.ts';
import { createSite, DEVICES, NODE, type Site, startUndeclared } from './site.ts';

const GIB = 2 ** 30;
/** The pid of the process whose executable is `path`, found as a person would: by looking through /proc. */
async function pidOf(path: string): Promise<number> {
  return until(`a process that runs ${path}`, () => {
    for (const name of readdirSync('/proc'))
      if (/^\d+$/.test(name)) {
        try {
          if (readlinkSync(`/proc/${name}/exe`) === path) return Number(name);
        } catch {
          // gone, or a kernel thread
        }
      }
    return null;
  });
}

describe('declared, undeclared, unobserved', () => {
  let site: Site;
  let browser: Browser;
  beforeAll(async () => {
    site = await createSite();
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await site?.stop();
  });

  test('each second goes where it belongs, is seen in the browser, and survives both programs being killed', async () => {
    const agent = site.startAgent();
    // `gpuledger run` finds the name of its node by the boot id that the agent reported.
    await until(
      'the node to enrol',
      async () => ((await site.nodes()).length > 0 ? true : null),
      30_000,
      agent.output,
    );
    const trainer = site.executable('trainer');
    const foreign = site.executable('foreign');
    const declared = site.cli([
      ...[
        'run',
        '--account',
        'research',
        '--name',
        'training',
        '--devices',
        DEVICES[0],
        '--',
        trainer,
        '600',
      ],
    ]);
    const trainerPid = await pidOf(trainer);
    const undeclared = startUndeclared(foreign);
    const foreignPid = await pidOf(foreign);
    const both = [
      { device: DEVICES[0], pid: trainerPid, sm: 80, memoryBytes: 40 * GIB },
      { device: DEVICES[1], pid: foreignPid, sm: 95, memoryBytes: 6 * GIB },
    ];
    site.nvidiaSmi.setProcesses(both);

    // Declared use is used, undeclared use is unaccounted, and the books balance.
    const shown = () => `${agent.output()}\n${declared.output()}`;
    await until('used time', async () => ((await site.sums()).usedMs > 2000 ? true : null), 60_000, shown);
    const finding = await until(
      'a finding',
      async () => (await site.findings()).find((found) => found.source.executable === foreign),
      60_000,
      shown,
    );
    const sums = await site.sums();
    expect(sums.usedMs + sums.heldMs + sums.unaccountedMs + sums.idleMs + sums.unobservedMs).toBe(
      sums.capacityMs,
    );
    const job = (await site.get<JobList>('/v1/jobs')).items[0];
    expect(job).toMatchObject({ account: 'research', name: 'training', source: 'run' });

    // The finding names the process as /proc does: executable, user, lineage.
    const detail = await site.finding(finding.id);
    const source = detail.processes.find((process) => process.pid === foreignPid);
    expect(source).toMatchObject({
      role: 'source',
      executable: { path: foreign, deleted: false, fileSystem: expect.any(String) },
    });
    expect(source?.startTicks).toBe(startTicks(foreignPid));
    expect(source?.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(source?.user).toBe(process.env['USER'] ?? 'root');
    expect(detail.processes.some((process) => process.pid === undeclared.pid)).toBe(true);
    expect(detail.devices.map((device) => device.uuid)).toEqual([DEVICES[1]]);
    expect(detail.insideJob).toBeNull();

    // Real Chromium: the one-time link signs in, the finding is on the page.
    const page = await browser.newPage();
    await page.goto(site.signInLink());
    await page.goto(`${site.url}/unaccounted`);
    await page.getByText('foreign').first().waitFor();
    await page.goto(`${site.url}/findings/${finding.id}`);
    await page.getByText(foreign).first().waitFor();
    await page.close();

    // The agent is killed: what it did not see is not measured, whatever came before and after.
    await agent.kill('SIGKILL');
    const before = await site.sums();
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const again = site.startAgent();
    await until(
      'unobserved time',
      async () => ((await site.sums()).unobservedMs >= before.unobservedMs + 4000 ? true : null),
      60_000,
      again.output,
    );

    // The service is killed while batches arrive, again and again: nothing lost, nothing twice. Each change of the set of
    // processes makes the agent ship at once, so that a batch is on its way when the kill comes.
    await until('time to be reported again', async () =>
      (await site.sums()).usedMs > before.usedMs + 1000 ? true : null,
    );
    const unobservedMs = (await site.sums()).unobservedMs;
    for (let kill = 0; kill < 3; kill += 1) {
      site.nvidiaSmi.setProcesses(kill % 2 === 0 ? both.slice(0, 1) : both);
      await new Promise((resolve) => setTimeout(resolve, 800 + 400 * kill));
      await site.killService();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await site.startService();
    }
    const resumed = await site.sums();
    await until(
      'reports to resume',
      async () => ((await site.sums()).usedMs > resumed.usedMs + 4000 ? true : null),
      90_000,
      again.output,
    );
    expect((await site.sums()).unobservedMs).toBe(unobservedMs);

    // The job ends with its command; its exit code and signals pass through.
    declared.child.kill('SIGTERM');
    expect(await declared.ended()).toBe(143);
    await until('the job to end', async () =>
      (await site.get<JobList>('/v1/jobs')).items[0]?.end ? true : null,
    );
    undeclared.child.kill();

    await again.kill('SIGTERM');
    const check = startProgram('api/cli/main.ts', ['verify', '--data', site.data, '--json']);
    expect(await check.ended(), check.output()).toBe(0);
    expect((await site.nodes()).map((node) => node.name)).toEqual([NODE]);
  }, 300_000);
});

function startTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}
