import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Service, startService } from '../http/service.ts';
import { type Ran, run } from './gpuledger.ts';

let service: Service;
let environment: Record<string, string>;
let folder: string;
beforeAll(async () => {
  service = await startService();
  environment = { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: await service.tokenFor('admin') };
  folder = mkdtempSync(join(tmpdir(), 'gpuledger-policy-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await service.stop();
});

const ask = (...args: string[]): Promise<Ran> => run(['policy', ...args], environment);
const file = (text: string): string => {
  const path = join(folder, 'policy.yaml');
  writeFileSync(path, text);
  return path;
};
const POLICY = `
exemptions:
  - id: epilog
    owner: ops
    account: overhead
    reason: Checks between jobs
    until: ${new Date(Date.now() + 30 * 86_400_000).toISOString()}
    match: {boundaries: ["systemd:/system.slice/slurmd.service"]}
`;

test('a file is checked, set, shown as a file, and set again without a change', async () => {
  const checked = await ask('check', file(POLICY));
  expect([checked.code, checked.stderr]).toEqual([0, '']);
  expect(checked.stdout).toMatch(
    /^Exemption epilog is new: in systemd:\/system.slice\/slurmd.service; ops answers/,
  );
  expect(checked.stdout).toMatch(/Warning: Exemption epilog: everything that any account runs/);
  expect(checked.stdout).toMatch(/nothing\.[\s\S]*Dry run: nothing was changed\.\n$/);
  expect((await ask('set', file(POLICY))).stdout).toMatch(/Version 2 is recorded, from .*00:00\.000Z\.\n$/);
  const shown = await ask();
  expect(shown.stdout).toMatch(/^# Version 2, in force now\.\n/);
  const [text = ''] = shown.stdout.split('\n\n');
  const again = await ask('check', file(text));
  expect([again.code, again.stdout.split('\n')[0]]).toEqual([0, 'Nothing changes.']);
  expect(JSON.parse((await ask('show', '--json')).stdout)).toMatchObject({ current: { version: 2 } });
});

test('what is wrong with a file is said, and nothing is set', async () => {
  const path = await ask(
    'set',
    file(POLICY.replace('boundaries: ["systemd:/system.slice/slurmd.service"]', 'executables: [/x]')),
  );
  expect([path.code, path.stderr]).toEqual([
    1,
    expect.stringMatching(/exemptions\.0\.match: .*kernel or the driver/),
  ]);
  const past = await ask('set', file(POLICY), '--from', '2026-01-01T00:00:00Z');
  expect([past.code, past.stderr]).toEqual([1, expect.stringContaining('reach: past')]);
  expect((await ask('check', file('a: ['))).code).toBe(2);
  expect((await ask('check', file('- 1'))).stderr).toMatch(/expected the members of a policy/);
  expect((await ask('check', join(folder, 'none.yaml'))).code).toBe(2);
  expect(JSON.parse((await ask('show', '--json')).stdout).items).toHaveLength(2);
});
