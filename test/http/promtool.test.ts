/** Prometheus's own checker accepts our metrics and our example rules. Skipped where promtool is not installed. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const RULES = fileURLToPath(new URL('../../docs/alert-rules.yml', import.meta.url));
const PROMTOOL = 'promtool';
const promtool = (args: string[], input = '') => {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { input, encoding: 'utf8' });
  return { status, output: `${stdout ?? ''}${stderr ?? ''}` };
};

describe.skipIf(promtool(['--version']).status !== 0)('promtool', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ clock: handClock(START + HOUR), cluster: CLUSTER });
    const gpu = device('n1', 0);
    const process = processFact(10);
    const batch = new Stream('n1').batch(START, START + HOUR, {
      inventory: [gpu],
      processes: [process],
      tenancies: [tenancy(gpu.uuid, START, HOUR, process)],
    });
    await service.app.services.ingest.accept(agentOf('n1'), post(batch));
    await service.app.attribution.whenIdle();
  });
  afterAll(() => service.stop());

  test('accepts the metrics', async () => {
    const { text } = await service.ask('GET', '/metrics');
    expect(text).toMatch(/gpuledger_findings\{[^}]*\} 1/);
    expect(promtool(['check', 'metrics'], text)).toEqual({ status: 0, output: '' });
  });

  test('accepts the rules, which ask only for metrics that are there', async () => {
    expect(promtool(['check', 'rules', RULES])).toMatchObject({ status: 0 });
    const { text } = await service.ask('GET', '/metrics');
    const asked = [...readFileSync(RULES, 'utf8').matchAll(/\bgpuledger_\w+/g)].map(([name]) => name);
    expect(asked.length).toBeGreaterThan(3);
    for (const name of asked) expect(text).toContain(`# TYPE ${name} `);
  });
});
