// One precedence for all settings: flags, environment, file, default.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../collector/config.ts';
import { parseSettingsFile } from '../../collector/settings-file.ts';
import { temporaryFolder } from '../e2e/processes.ts';

const main = fileURLToPath(new URL('../../collector/cli/main.ts', import.meta.url));
const from = (text: string, flags: Record<string, unknown> = {}, environment: Record<string, string> = {}) =>
  readConfig({ config: 'agent.conf', ...flags }, environment, () => text);
const messageOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
  return '';
};

describe('a settings file', () => {
  it('has comments, blank lines, spaces, quotes and nothing else special', () => {
    const text =
      '# site\r\n\r\n GPULEDGER_NODE = n7 \r\nexport GPULEDGER_SPOOL="/a b"\nGPULEDGER_URL=\'http://x/#a\'\nGPULEDGER_LOG=';
    const known = new Set(['GPULEDGER_NODE', 'GPULEDGER_SPOOL', 'GPULEDGER_URL', 'GPULEDGER_LOG']);
    const { values, problems } = parseSettingsFile(text, known, new Map());
    expect(problems).toEqual([]);
    expect(Object.fromEntries(values)).toEqual({
      ...{ GPULEDGER_NODE: 'n7', GPULEDGER_SPOOL: '/a b' },
      ...{ GPULEDGER_URL: 'http://x/#a', GPULEDGER_LOG: '' },
    });
  });

  it('is refused for a key that is none, one given twice, and a line that is no setting, all at once', () => {
    const message = messageOf(() =>
      from('GPULEDGER_POL=1\nGPULEDGER_POLL=2\nGPULEDGER_POLL=3\npoll 5\nGPULEDGER_TOKEN=glt_x'),
    );
    const lines = message.split('\n');
    expect(lines[0]).toMatch(/^agent\.conf, line 1: GPULEDGER_POL is not a setting\. .*GPULEDGER_POLL/);
    expect(lines.slice(1)).toEqual([
      'agent.conf, line 3: GPULEDGER_POLL was given before',
      'agent.conf, line 4: is not KEY=value',
      'agent.conf, line 5: GPULEDGER_TOKEN does not belong in this file: put the token into a file of its own (GPULEDGER_TOKEN_FILE)',
    ]);
    // What is in the file of a secret must not reach a log.
    expect(message).not.toContain('glt_x');
  });
});

describe('precedence', () => {
  const file = 'GPULEDGER_POLL=7\nGPULEDGER_NODE=of-file\nGPULEDGER_CLUSTER=of-file';
  it('is flags, environment, file, default', () => {
    const environment = { GPULEDGER_POLL: '8', GPULEDGER_NODE: 'of-environment' };
    expect(from(file, { poll: '9' }, environment).agent).toMatchObject({
      ...{ pollIntervalMs: 9000, node: 'of-environment', cluster: 'of-file' },
      ...{ shipIntervalMs: 18_000 },
    });
    expect(from(file).agent.pollIntervalMs).toBe(7000);
    // An empty variable is one that is not set.
    expect(from(file, {}, { GPULEDGER_POLL: '' }).agent.pollIntervalMs).toBe(7000);
  });

  it.each(['config', 'api', 'node', 'tokenFile', 'spool', 'poll', 'podResources', 'log'])(
    'an empty --%s is a wrong one: nothing that counts less stands in for it',
    (flag) => {
      const environment = { GPULEDGER_CONFIG: '/a', GPULEDGER_URL: 'http://a' };
      const message = messageOf(() => from(file, { [flag]: '' }, environment));
      expect(message).toMatch(/^--[a-z-]+.*: must (?:be|name) /);
    },
  );

  it('names the file by variable too, and the flag wins', () => {
    const asked: string[] = [];
    const read = (path: string): string => {
      asked.push(path);
      return '';
    };
    readConfig({}, { GPULEDGER_CONFIG: '/a' }, read);
    readConfig({ config: '/b' }, { GPULEDGER_CONFIG: '/a' }, read);
    readConfig({}, {}, read);
    expect(asked).toEqual(['/a', '/b']);
  });

  it('puts a token of the environment before a token file of the settings file, not before a nearer one', () => {
    const text = 'GPULEDGER_TOKEN_FILE=/t';
    expect(from(text).tokenFile).toBe('/t');
    expect(from(text, {}, { GPULEDGER_TOKEN: 'glt_x' }).tokenFile).toBeNull();
    expect(from(text, { tokenFile: '/f' }, { GPULEDGER_TOKEN: 'glt_x' }).tokenFile).toBe('/f');
  });

  it('takes lists from all three', () => {
    const text =
      'GPULEDGER_INTERNAL_RANGES=198.51.100.0/24, 2001:db8::/32\nGPULEDGER_SECRET_OPTIONS=--licence';
    const { agent } = from(text);
    expect(agent.internalRanges).toEqual(
      expect.arrayContaining(['10.0.0.0/8', '198.51.100.0/24', '2001:db8::/32']),
    );
    expect(agent.secretOptions).toEqual(['--licence']);
    expect(from(text, { secretOption: ['seed', 'key'] }).agent.secretOptions).toEqual(['seed', 'key']);
    expect(messageOf(() => from('GPULEDGER_SECRET_OPTIONS=$x'))).toMatch(
      /^--secret-option \(or GPULEDGER_SECRET_OPTIONS\)/,
    );
  });
});

describe('gpuledger-agent --config', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  beforeEach(() => {
    folder = temporaryFolder('settings');
  });
  afterEach(() => folder.remove());
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, 'run', '--once', ...args], {
      ...{ encoding: 'utf8', cwd: folder.path, env: { PATH: folder.path } },
    });

  it('reads the file, and ends with 2 where it is missing, wrong or absurdly large', () => {
    const file = join(folder.path, 'agent.conf');
    writeFileSync(file, 'GPULEDGER_NODE=of-file\n');
    expect(JSON.parse(run('--json', '--config', file).stdout).node).toBe('of-file');
    writeFileSync(file, 'NODE=\x1b[2J\n');
    const wrong = run('--config', file);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toMatch(/^gpuledger-agent: .*agent\.conf, line 1: NODE is not a setting/);
    writeFileSync(file, '#'.repeat(70_000));
    expect(run('--config', file).stderr).toContain('larger than 64 KiB');
    const missing = run('--config', join(folder.path, 'none'));
    expect(missing.status).toBe(2);
    expect(missing.stderr).toMatch(/^gpuledger-agent: --config \(or GPULEDGER_CONFIG\): .*ENOENT/);
  });
});
