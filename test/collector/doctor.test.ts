// What the doctor says of a node: each check well, and spoiled in every way that can be made for real.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { headAfter, newHead } from '../../collector/batch.ts';
import { capabilitiesOf, mountsOf } from '../../collector/doctor/rights.ts';
import { exitCodeOf } from '../../collector/doctor.ts';
import { execute } from '../../collector/ports/execute.ts';
import { clock, files } from '../../collector/ports/real.ts';
import type { Execute } from '../../collector/ports.ts';
import { openSigner } from '../../collector/signer.ts';
import { writeHead } from '../../collector/spool-files.ts';
import { type Service, startService } from '../http/service.ts';
import { createWard, startStranger, UUIDS, type Ward } from './doctor-fixture.ts';
import { batchAt } from './spool-fixture.ts';

let ward: Ward;
beforeEach(() => {
  ward = createWard();
});
afterEach(() => ward.remove());

const limits = { timeoutMs: 1000, maxOutputBytes: 1000 };
const REFUSED = { stderr: Buffer.from('spawn EAGAIN'), failure: 'failed' } as const;

describe('the doctor on nvidia-smi', () => {
  it('finds a driver that tells everything well', async () => {
    ward.retell('<accounting_mode>Disabled', '<accounting_mode>Enabled');
    ward.nvidiaSmi.setProcesses([{ device: UUIDS[0], pid: process.pid, sm: 50, memoryBytes: 1 }]);
    ward.retell('<accounting_mode>Disabled', '<accounting_mode>Enabled');
    const checks = await ward.examine();
    expect(checks.get('nvidia-smi')?.finding).toMatch(
      /describes 2 GPUs with driver 580\.95\.05 in \d+ ms\.$/,
    );
    for (const id of ['nvidia-smi', 'readings', 'persistence', 'accounting', 'mig', 'gpu-pids'])
      expect(checks.get(id)).toMatchObject({ status: 'ok', remedy: null });
    expect(checks.get('gpu-pids')?.finding).toContain('All 1 processes');
  });

  it('names the modes that hide something, and what turns them', async () => {
    ward.retell('<persistence_mode>Enabled', '<persistence_mode>Disabled');
    ward.retell('<current_mig>Disabled', '<current_mig>Enabled');
    const checks = await ward.examine();
    expect(checks.get('persistence')).toMatchObject({ status: 'warn' });
    expect(checks.get('persistence')?.remedy).toContain('nvidia-smi -pm 1');
    expect(checks.get('mig')).toMatchObject({ status: 'warn' });
    // MIG rules accounting out: that is no fault of the node.
    expect(checks.get('accounting')?.status).toBe('ok');
    ward.retell('<current_mig>Enabled', '<current_mig>Disabled');
    expect((await ward.examine()).get('accounting')?.remedy).toContain('nvidia-smi -am 1');
    ward.retell(/<(accounting|persistence)_mode>\w+</g, '<$1_mode>N/A<');
    const silent = await ward.examine();
    expect([silent.get('accounting')?.status, silent.get('persistence')?.status]).toEqual([
      'unknown',
      'unknown',
    ]);
  });

  it('tells the ways to fail apart', async () => {
    const missing = await ward.examine({ nvidiaSmi: join(ward.folder, 'none') });
    expect(missing.get('nvidia-smi')?.finding).toContain('no GPU of this node will be measured');
    expect(missing.get('gpu-pids')?.status).toBe('unknown');
    const hanging: Execute = async () => ({
      ...{ stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: null, durationMs: 30_000 },
      failure: 'timeout',
    });
    const hung = await ward.examine({}, { ports: { execute: hanging, files, clock } });
    expect(hung.get('nvidia-smi')).toMatchObject({ status: 'fail' });
    expect(hung.get('nvidia-smi')?.finding).toContain('the driver hangs');
    ward.nvidiaSmi.setFault({ text: 'No devices were found', exitCode: 6 });
    expect((await ward.examine()).get('nvidia-smi')?.remedy).toContain('/dev/nvidia*');
    ward.nvidiaSmi.setFault({
      text: 'Failed to initialize NVML: Driver/library version mismatch',
      exitCode: 18,
    });
    expect((await ward.examine()).get('nvidia-smi')?.remedy).toContain('Reload the driver');
    ward.nvidiaSmi.setFault({ garbage: true });
    const garbled = (await ward.examine()).get('nvidia-smi');
    expect(garbled?.status).toBe('fail');
    expect(garbled?.finding).not.toContain('\x1b');
    ward.nvidiaSmi.setFault({ signal: 'SEGV' });
    expect((await ward.examine()).get('nvidia-smi')?.finding).toContain('gave no report (it was killed)');
    ward.nvidiaSmi.setFault({ text: 'NVIDIA-SMI has failed.', exitCode: 9 });
    expect((await ward.examine()).get('nvidia-smi')?.finding).toMatch(
      /\(exit code 9\): NVIDIA-SMI has failed\.$/,
    );
    const refused: Execute = async () => ({ ...(await hanging('', [], limits)), ...REFUSED });
    const none = await ward.examine({}, { ports: { execute: refused, files, clock } });
    expect(none.get('nvidia-smi')?.finding).toMatch(/\(it could not be started\): spawn EAGAIN\.$/);
  });

  it('names a GPU that is not measured, and pids that /proc does not show', async () => {
    ward.nvidiaSmi.setDevices(
      UUIDS.map((uuid, index) => ({
        ...{ uuid, index, model: 'NVIDIA H100 80GB HBM3' },
        ...(index === 1 ? { fault: 'requires_reset' as const } : {}),
      })),
    );
    const pid = 4_194_304;
    ward.nvidiaSmi.setProcesses([
      { device: UUIDS[0], pid, sm: 50, memoryBytes: 1 },
      { device: UUIDS[0], pid: process.pid, sm: 50, memoryBytes: 1 },
    ]);
    const checks = await ward.examine();
    expect(checks.get('readings')).toMatchObject({ status: 'fail' });
    expect(checks.get('readings')?.finding).toContain(UUIDS[1]);
    expect(checks.get('readings')?.finding).not.toContain(UUIDS[0]);
    expect(checks.get('gpu-pids')).toMatchObject({ status: 'fail' });
    expect(checks.get('gpu-pids')?.finding).toContain(`does not show 1 of them: ${pid}`);
  });
});

describe('the doctor on the service', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  const see = async (token: string, flags: Record<string, unknown> = {}) =>
    ward.examine({ api: service.url, ...flags }, { token: () => token });

  it('finds that it is there, agrees on the time, and takes the token for this node', async () => {
    const checks = await see(await service.tokenFor('agent', { node: 'n1' }));
    for (const id of ['api', 'service-clock', 'token']) expect(checks.get(id)?.status).toBe('ok');
    expect(checks.get('token')?.finding).toContain('main/n1');
  });

  it('says why a token is of no use here', async () => {
    const unknown = (await see('glt_unknown')).get('token');
    expect(unknown).toMatchObject({ status: 'fail' });
    expect(unknown?.remedy).toContain('gpuledger token create');
    const other = (await see(await service.tokenFor('agent', { node: 'n2' }))).get('token');
    expect(other?.remedy).toContain('--node n2');
    const viewer = (await see(await service.tokenFor('viewer'))).get('token');
    expect(viewer?.finding).toContain('has the role viewer');
    const own = await service.tokenFor('agent', { node: 'n1' });
    expect((await see(own, { cluster: 'east' })).get('token')?.remedy).toContain('--cluster main');
    const none = await ward.examine(
      { api: service.url },
      {
        token: () => {
          throw new Error('there is no token. Make one');
        },
      },
    );
    expect(none.get('token')?.finding).toBe('No token can be used: there is no token.');
  });

  it('warns of a token that others may read', async () => {
    const tokenFile = join(ward.folder, 'token');
    const token = await service.tokenFor('agent', { node: 'n1' });
    writeFileSync(tokenFile, token, { mode: 0o644 });
    chmodSync(tokenFile, 0o644);
    expect((await see(token, { tokenFile })).get('token')).toMatchObject({ status: 'warn' });
    chmodSync(tokenFile, 0o600);
    expect((await see(token, { tokenFile })).get('token')).toMatchObject({ status: 'ok' });
  });

  it('tells no address, no answer, a stranger and a wrong clock apart', async () => {
    expect((await ward.examine()).get('api')?.finding).toContain('No address');
    const gone = await startStranger(200, '');
    await gone.stop();
    const away = (await ward.examine({ api: gone.url })).get('api');
    expect(away?.finding).toMatch(/ cannot be reached: .*ECONNREFUSED/);
    const cases = [
      [await startStranger(200, '<h1>Welcome</h1>'), 'not as gpuledger does'],
      [await startStranger(502, 'Bad Gateway'), 'HTTP 502'],
      [await startStranger(302, '', { location: 'http://127.0.0.1:1/' }), 'HTTP 302'],
      [
        await startStranger(503, '{"title":"Unavailable","detail":"it \\u001b[2Jstarts"}'),
        'it \\x1b[2Jstarts',
      ],
    ] as const;
    for (const [stranger, words] of cases) {
      const check = (await ward.examine({ api: stranger.url })).get('api');
      await stranger.stop();
      expect(check).toMatchObject({ status: 'fail' });
      expect(check?.finding).toContain(words);
    }
    const past = await startStranger(200, '{"status":"ok"}', { date: 'Mon, 06 Jan 2025 00:00:00 GMT' });
    const checks = await ward.examine({ api: past.url });
    await past.stop();
    expect(checks.get('api')?.status).toBe('ok');
    expect(checks.get('service-clock')).toMatchObject({ status: 'fail' });
    expect(checks.get('token')?.status).toBe('fail');
  });
});

describe('the doctor on the spool', () => {
  it('accepts a folder that the agent will make, and writes nothing itself', async () => {
    const before = readdirSync(ward.folder);
    const checks = await ward.examine({ spool: join(ward.folder, 'a', 'b') });
    for (const id of ['spool', 'chain', 'agent']) expect(checks.get(id)?.status).toBe('ok');
    expect(readdirSync(ward.folder)).toEqual(before);
    const impossible = (await ward.examine({ spool: '/proc/none' })).get('spool');
    expect(impossible).toMatchObject({ status: 'fail' });
  });

  it('warns of a folder that others can write', async () => {
    mkdirSync(ward.spool);
    expect((await ward.examine()).get('spool')?.status).toBe('ok');
    chmodSync(ward.spool, 0o770);
    expect((await ward.examine()).get('spool')).toMatchObject({
      status: 'warn',
      finding: expect.stringContaining('can be written by others'),
    });
  });

  it('finds a chain that is whole, one with a hole, a damaged batch and what was set aside', async () => {
    const stream = join(ward.spool, 'stream.json');
    let head = newHead('0b9f2a3c-54f3-4a43-9ae5-1a3f8a4c2f10');
    mkdirSync(join(ward.spool, head.stream), { recursive: true });
    const paths: string[] = [];
    for (let seq = 1; seq <= 3; seq += 1) {
      const batch = batchAt(head, seq);
      paths.push(join(ward.spool, head.stream, `${String(seq).padStart(12, '0')}.json`));
      writeFileSync(paths.at(-1) ?? '', JSON.stringify(batch));
      head = headAfter(batch);
    }
    writeHead(files, stream, head, 1, null);
    const chain = async () => (await ward.examine()).get('chain');
    expect(await chain()).toMatchObject({ status: 'ok' });
    expect((await chain())?.finding).toContain('3 batches wait');
    mkdirSync(join(ward.spool, 'corrupt'));
    writeFileSync(join(ward.spool, 'corrupt', 'x'), '');
    expect(await chain()).toMatchObject({ status: 'warn' });
    const [, second = ''] = paths;
    writeFileSync(second, readFileSync(second, 'utf8').replace('"n1"', '"n2"'));
    expect((await chain())?.finding).toContain('Batch 2 is damaged');
    rmSync(second);
    expect((await chain())?.finding).toContain('before number 3 are missing');
    writeFileSync(stream, '{');
    expect((await chain())?.finding).toContain('stream.json');
  });

  it('says by which key the node signs, and that one is damaged', async () => {
    const key = async () => (await ward.examine()).get('key');
    expect(await key()).toMatchObject({ status: 'ok', finding: expect.stringContaining('no key yet') });
    const { publicKey } = openSigner(files, ward.spool);
    expect(await key()).toMatchObject({ status: 'ok', finding: expect.stringContaining(publicKey) });
    writeFileSync(join(ward.spool, 'key.pem'), 'no key');
    expect(await key()).toMatchObject({ status: 'fail', finding: expect.stringContaining('damaged') });
  });

  it('tells who uses it', async () => {
    mkdirSync(ward.spool);
    const startTicks = readFileSync('/proc/self/stat', 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
    writeFileSync(join(ward.spool, 'agent.lock'), `${process.pid} ${startTicks}\n`);
    expect((await ward.examine()).get('agent')).toMatchObject({ status: 'ok' });
    writeFileSync(join(ward.spool, 'agent.lock'), `${process.pid} 1\n`);
    expect((await ward.examine()).get('agent')).toMatchObject({ status: 'warn' });
  });

  it('warns before it is full', async () => {
    const stream = '0b9f2a3c-54f3-4a43-9ae5-1a3f8a4c2f10';
    mkdirSync(join(ward.spool, stream), { recursive: true });
    writeFileSync(join(ward.spool, stream, '000000000001.json'), Buffer.alloc(900_000));
    expect((await ward.examine({ spoolMib: '1' })).get('spool')).toMatchObject({ status: 'warn' });
    expect((await ward.examine({ spoolMib: '2' })).get('spool')).toMatchObject({ status: 'ok' });
  });
});

describe('the doctor on the machine', () => {
  it('knows the clock by what it does', async () => {
    expect((await ward.examine()).get('clock')?.status).toBe('ok');
    let looks = 0;
    const wallMs = (): number => {
      looks += 1;
      return clock.wallMs() + looks * 5000;
    };
    const stepped = { ...clock, wallMs };
    const ports = { execute, files, clock: stepped };
    expect((await ward.examine({}, { ports })).get('clock')?.status).toBe('warn');
    const early = { ...clock, wallMs: () => 1000 };
    const young = await ward.examine({}, { ports: { execute, files, clock: early } });
    expect(young.get('clock')?.finding).toContain('1970');
  });

  it('sees a /proc that is none', async () => {
    const checks = await ward.examine({ proc: ward.folder });
    expect(checks.get('other-users')?.status).toBe('fail');
    expect(checks.get('boot')?.status).toBe('fail');
    expect(checks.get('hidepid')?.status).toBe('unknown');
  });
});

it('reads capabilities and mounts from their files', () => {
  expect(capabilitiesOf('CapEff:\t0000000000080004\n')).toEqual({
    ...{ ptrace: true, readAll: true },
    names: ['CAP_DAC_READ_SEARCH', 'CAP_SYS_PTRACE'],
  });
  expect(capabilitiesOf('CapEff:\t0000000000000002\n')).toMatchObject({ ptrace: false, readAll: true });
  expect(capabilitiesOf('Name:\tx\n')).toBeNull();
  expect(mountsOf('22 27 0:21 / /proc rw shared:5 - proc proc rw,hidepid=invisible\nnonsense\n')).toEqual([
    { point: '/proc', type: 'proc', options: 'rw,hidepid=invisible' },
  ]);
});

it('ends with 0, 1 or 2 by the worst that was found', () => {
  const check = (status: 'ok' | 'warn' | 'fail' | 'unknown') => ({
    id: 'x',
    status,
    finding: '',
    remedy: null,
  });
  expect(exitCodeOf([check('ok'), check('ok')])).toBe(0);
  expect(exitCodeOf([check('ok'), check('unknown')])).toBe(1);
  expect(exitCodeOf([check('warn'), check('ok')])).toBe(1);
  expect(exitCodeOf([check('warn'), check('fail')])).toBe(2);
});
