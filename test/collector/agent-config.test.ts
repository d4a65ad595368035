import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig, requireApi } from '../../collector/config.ts';
import { AGENT_VERSION } from '../../collector/identity.ts';

const api = 'http://127.0.0.1:8470';

describe('the agent’s settings', () => {
  it('have defaults for all but the address', () => {
    const { agent, tokenFile } = readConfig({ api }, {});
    expect(agent).toMatchObject({
      ...{ cluster: 'main', pollIntervalMs: 5000, shipIntervalMs: 10_000, windowMs: 30_000 },
      ...{ spoolMaxBytes: 256 * 1024 * 1024, nvidiaSmi: 'nvidia-smi', procRoot: '/proc' },
    });
    expect(agent.node).not.toBe('');
    expect(tokenFile).toBeNull();
  });

  it('come from flags before the environment', () => {
    const environment = { GPULEDGER_URL: 'http://other:1', GPULEDGER_NODE: 'n2', GPULEDGER_POLL: '60' };
    const config = readConfig({ api, internalRange: ['198.51.100.0/24'] }, environment);
    expect(config.api).toBe(api);
    expect(config.agent).toMatchObject({ node: 'n2', pollIntervalMs: 60_000, windowMs: 60_000 });
    expect(config.agent.internalRanges).toContain('198.51.100.0/24');
    expect(config.agent.internalRanges).toContain('10.0.0.0/8');
  });

  it('name every wrong field, and what it must be', () => {
    const wrong = { api: 'ftp://x', poll: '0.5', node: 'a b', ship: 'soon', internalRange: ['10.0.0.0/99'] };
    const message = (() => {
      try {
        readConfig(wrong, {});
      } catch (error) {
        if (error instanceof ConfigError) return error.message;
      }
      return '';
    })();
    expect(message.split('\n')).toEqual([
      '--api (or GPULEDGER_URL): must be the address of the service, such as http://ledger:8470',
      '--node (or GPULEDGER_NODE): must be 1 to 253 letters, digits, dots, dashes or underscores',
      '--poll (or GPULEDGER_POLL): must be from 1 to 60 seconds',
      '--ship (or GPULEDGER_SHIP): must be a number of seconds from 2 to 3600',
      '--internal-range (or GPULEDGER_INTERNAL_RANGES): must be a network such as 10.0.0.0/8',
    ]);
    expect(() => requireApi(readConfig({}, {}))).toThrow(/--api/);
  });

  it('go with a version that is the package’s', () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(AGENT_VERSION).toBe(version);
  });
});
