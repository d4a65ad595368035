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
  folder = mkdtempSync(join(tmpdir(), 'gpuledger-mapping-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await service.stop();
});

const ask = (...args: string[]): Promise<Ran> => run(['mapping', ...args], environment);
const file = (text: string): string => {
  const path = join(folder, 'mapping.yaml');
  writeFileSync(path, text);
  return path;
};
const RULES = 'rules:\n  - match: {labels: {team: [speech]}}\n    account: speech\n    costCentre: "4711"\n';

test('a file is checked, set, shown as a file and set again; what is wrong is said', async () => {
  expect((await ask()).stdout).toMatch(/^# No mapping: declared accounts are charged\.\nrules: \[\]\n/);
  const checked = await ask('check', file(RULES), '--since', '2026-10-01', '--until', '2026-11-01');
  expect([checked.code, checked.stderr]).toEqual([0, '']);
  expect(checked.stdout).toMatch(/nothing would move\.\nDry run: nothing was changed\.\n$/);
  expect((await ask('set', file(RULES))).stdout).toMatch(
    /^Version 1 is recorded, from .*T00:00:00\.000Z\.\n$/,
  );
  const [text = ''] = (await ask('show')).stdout.split('\n\n');
  expect(text).toMatch(/^# Version 1, in force now\.\n[\s\S]*speech[\s\S]*"4711"/);
  expect((await ask('set', file(text))).stdout).toMatch(/^Version 2 is recorded/);
  const { items } = JSON.parse((await ask('show', '--json')).stdout);
  expect(items[0].rules).toEqual(items[1].rules);
  const wrong = await ask('set', file('rules:\n  - match: {users: [a]}\n'));
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/rules\.0: says nothing: give/)]);
  expect((await ask('set', file('- 1'))).stderr).toMatch(/expected the members of a mapping/);
});
