// What the doctor says of the tools, of who has a GPU open, and of mounts over processes.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toolStateText } from '../../collector/tool-state.ts';
import { createWard, type Ward } from './doctor-fixture.ts';

const main = fileURLToPath(new URL('../../collector/cli/main.ts', import.meta.url));
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const hasNamespaces = spawnSync('unshare', ['-m', 'true']).status === 0;

let ward: Ward;
beforeEach(() => {
  ward = createWard();
});
afterEach(() => ward.remove());

describe.skipIf(!isRoot)('the doctor on the tools', () => {
  it('names the files, and says that the library is not known here', async () => {
    const check = (await ward.examine()).get('tools');
    expect(check?.status).toMatch(/^(unknown|ok)$/);
    expect(check?.finding).toMatch(new RegExp(`${ward.nvidiaSmi.path} \\(uid 0, SHA-256 [0-9a-f]{12}\\)`));
    const missing = (await ward.examine({ nvidiaSmi: join(ward.folder, 'none') })).get('tools');
    expect(missing).toMatchObject({ status: 'unknown' });
  });

  it('warns of one that others can write', async () => {
    chmodSync(ward.nvidiaSmi.path, 0o777);
    const check = (await ward.examine()).get('tools');
    expect(check).toMatchObject({ status: 'warn' });
    expect(check?.finding).toContain('it can be written by everybody');
    expect(check?.remedy).toContain('root alone');
  });

  it('compares with what the agent saw last, as far as the driver is known to be the same', async () => {
    mkdirSync(ward.spool);
    const tool = {
      ...({ role: 'nvidia_smi', path: ward.nvidiaSmi.path, device: null, inode: null } as const),
      ...{ ownerUid: 0, sizeBytes: 1, sha256: '0'.repeat(64), version: null },
    };
    writeFileSync(join(ward.spool, 'tools.json'), toolStateText({ driverVersion: '1.0', tools: [tool] }));
    // No driver is loaded here: nothing can be said.
    expect((await ward.examine()).get('tools')?.finding).not.toContain('another content');
    const proc = join(ward.folder, 'proc');
    mkdirSync(join(proc, 'driver', 'nvidia'), { recursive: true });
    writeFileSync(
      join(proc, 'driver', 'nvidia', 'version'),
      'NVRM version: NVIDIA Kernel Module  580.95.05  x\n',
    );
    writeFileSync(
      join(ward.spool, 'tools.json'),
      toolStateText({ driverVersion: '580.95.05', tools: [tool] }),
    );
    mkdirSync(join(proc, 'self'));
    writeFileSync(join(proc, 'self', 'environ'), `PATH=${process.env['PATH']}\0`);
    expect((await ward.examine({ proc })).get('tools')?.finding).toContain('has another content');
  });
});

describe.skipIf(!hasNamespaces)('the doctor on what /proc shows', () => {
  const checksOf = (script: string) => {
    const words = [process.execPath, main, 'doctor', '--nvidia-smi', ward.nvidiaSmi.path, '--json'];
    const ended = spawnSync('unshare', ['-m', 'sh', '-c', `${script} ${words.join(' ')}`], {
      encoding: 'utf8',
    });
    const report: { checks: { id: string; status: string; finding: string }[] } = JSON.parse(ended.stdout);
    return new Map(report.checks.map((check) => [check.id, check]));
  };

  it('finds a mount over a process', async () => {
    expect((await ward.examine()).get('covers')).toMatchObject({ status: 'ok', remedy: null });
    const check = checksOf(`mount -t tmpfs none /proc/${process.pid};`).get('covers');
    expect(check).toMatchObject({ status: 'warn' });
    expect(check?.finding).toContain(`tmpfs over /proc/${process.pid}`);
  });

  it('names who has a GPU open, and whose descriptors it may not read', async () => {
    const dev = 'mount -t tmpfs none /dev && mknod /dev/nvidia0 c 1 3 && exec 3</dev/nvidia0';
    const holder = spawn('unshare', ['-m', 'sh', '-c', `${dev}; echo ready; exec sleep 300`]);
    try {
      await once(holder.stdout, 'data');
      const check = (await ward.examine()).get('device-files');
      // The first process of a sandbox may be out of reach for everybody.
      expect(check?.status).toMatch(/^(ok|warn)$/);
      await expect
        .poll(async () => (await ward.examine()).get('device-files')?.finding)
        .toContain(`pid ${holder.pid} (sleep)`);
      const nobody = `exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups`;
      const refused = checksOf(nobody).get('device-files');
      expect(refused).toMatchObject({ status: 'fail' });
      expect(refused?.finding).not.toContain(`pid ${holder.pid}`);
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
