// The doctor as a process of its own, in the namespaces and with the rights that real deployments get wrong.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createWard, type Ward } from './doctor-fixture.ts';

const main = fileURLToPath(new URL('../../collector/cli/main.ts', import.meta.url));
const NOBODY = 65_534;
const DEADLINE_MS = 30_000;
const Report = z.object({
  version: z.string(),
  exitCode: z.number(),
  checks: z.array(
    z.object({ id: z.string(), status: z.string(), finding: z.string(), remedy: z.string().nullable() }),
  ),
});

let ward: Ward;
beforeEach(() => {
  ward = createWard();
});
afterEach(() => ward.remove());

function run(file: string, args: readonly string[], ids: { uid?: number; gid?: number } = {}) {
  const ended = spawnSync(file, [...args], { ...ids, encoding: 'utf8', cwd: '/', timeout: DEADLINE_MS });
  return { code: ended.status, stdout: ended.stdout, stderr: ended.stderr };
}
const doctor = (...more: string[]): string[] => [
  ...[process.execPath, main, 'doctor', '--nvidia-smi', ward.nvidiaSmi.path, '--spool', ward.spool],
  ...more,
];
function report(command: readonly string[], ids: { uid?: number; gid?: number } = {}) {
  const [file = '', ...args] = [...command, '--json'];
  const { code, stdout, stderr } = run(file, args, ids);
  expect(stderr).toBe('');
  const parsed = Report.parse(JSON.parse(stdout));
  expect(parsed.exitCode).toBe(code);
  return new Map(parsed.checks.map((check) => [check.id, check]));
}

// Whether this machine lets a test make namespaces; containers often do not.
const free = run('unshare', ['--pid', '--fork', '--mount-proc', '--cgroup', 'true']).code === 0;
const root = process.geteuid?.() === 0;

it('prints each check with its remedy, and a sum', () => {
  const [file = '', ...args] = doctor();
  const { code, stdout } = run(file, args);
  expect(code).toBe(2);
  expect(stdout).toMatch(/^ok {7}nvidia-smi /m);
  expect(stdout).toMatch(
    /^fail {5}api +No address of a service is set: nothing can be sent\.\n +-> Give it with --api\.$/m,
  );
  expect(stdout).toMatch(/\n\n\d+ ok, \d+ warn, \d+ fail, \d+ unknown\n$/);
});

it('refuses wrong settings by their names, with 2', () => {
  const [file = '', ...args] = doctor('--poll', '0');
  expect(run(file, args)).toMatchObject({ code: 2, stdout: '' });
  expect(run(file, [...doctor().slice(1), '--colour']).code).toBe(2);
});

describe.skipIf(!root)('without rights', () => {
  it('says that other accounts stay hidden, by what it holds and by trying', () => {
    const checks = report(doctor(), { uid: NOBODY, gid: NOBODY });
    expect(checks.get('rights')).toMatchObject({ status: 'fail' });
    expect(checks.get('rights')?.finding).toContain(`uid ${NOBODY}`);
    expect(checks.get('other-users')).toMatchObject({ status: 'fail' });
    expect(checks.get('other-users')?.finding).toContain('environment');
    expect(checks.get('other-users')?.remedy).toContain('CAP_SYS_PTRACE');
    expect(checks.get('spool')).toMatchObject({ status: 'fail' });
  });

  it('is content with the two capabilities that it asks for', () => {
    const caps = '+sys_ptrace,+dac_read_search';
    const tool = ['setpriv', '--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'];
    const checks = report([...tool, '--inh-caps', caps, '--ambient-caps', caps, ...doctor()]);
    expect(checks.get('rights')).toMatchObject({ status: 'ok' });
    // The first process of a sandbox may be out of reach for everybody; ours, which root started, are not.
    const others = checks.get('other-users');
    expect(others?.status).toMatch(/^(ok|warn)$/);
    expect(others?.finding).not.toContain(`pid ${process.pid} `);
  });
});

describe.skipIf(!free)('in namespaces of its own', () => {
  it('finds that pids are a container’s, and that the host’s processes are not there', () => {
    ward.nvidiaSmi.setProcesses([
      { device: 'GPU-dddddddd-0000-4000-8000-000000000000', pid: process.pid, sm: 10, memoryBytes: 1 },
    ]);
    const checks = report(['unshare', '--pid', '--fork', '--mount-proc', ...doctor()]);
    expect(checks.get('pid-namespace')).toMatchObject({ status: 'fail' });
    expect(checks.get('pid-namespace')?.remedy).toContain('hostPID');
    expect(checks.get('gpu-pids')).toMatchObject({ status: 'fail' });
  });

  it('finds that control groups are cut', () => {
    const checks = report(['unshare', '--cgroup', ...doctor()]);
    expect(checks.get('cgroups')).toMatchObject({ status: 'fail' });
    expect(checks.get('cgroups')?.remedy).toContain('--cgroupns=host');
    expect(checks.get('pid-namespace')).toMatchObject({ status: 'ok' });
  });

  it('finds a /proc that hides, and whether the agent’s rights pass it', () => {
    const proc = join(ward.folder, 'proc');
    mkdirSync(proc);
    const mounted = (...tool: string[]) => {
      const words = [...tool, ...doctor('--proc', proc), '--json'].map((word) => `'${word}'`).join(' ');
      const script = `mount -t proc -o hidepid=2 proc '${proc}' && exec ${words}`;
      const { stdout } = run('unshare', ['--mount', 'sh', '-c', script]);
      return Report.parse(JSON.parse(stdout)).checks.find(({ id }) => id === 'hidepid');
    };
    expect(mounted()).toMatchObject({ status: 'ok' });
    expect(mounted()?.finding).toContain('which CAP_SYS_PTRACE passes');
    const nobody = mounted('setpriv', '--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups');
    expect(nobody).toMatchObject({ status: 'fail' });
  });
});
