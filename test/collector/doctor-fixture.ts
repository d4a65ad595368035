/** A node for the doctor: real files, real /proc and a stand-in nvidia-smi; each test spoils one thing. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { lockOwner } from '../../collector/cli/lock.ts';
import { readConfig } from '../../collector/config.ts';
import type { Check, Patient } from '../../collector/doctor/check.ts';
import { diagnose } from '../../collector/doctor.ts';
import { execute } from '../../collector/ports/execute.ts';
import { probe } from '../../collector/ports/probe.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { temporaryFolder } from '../e2e/processes.ts';
import { createFakeNvidiaSmi, type FakeNvidiaSmi } from '../fakes/nvidia-smi.ts';

export const UUIDS = [
  'GPU-dddddddd-0000-4000-8000-000000000000',
  'GPU-dddddddd-0000-4000-8000-000000000001',
] as const;

export interface Ward {
  readonly folder: string;
  readonly spool: string;
  readonly nvidiaSmi: FakeNvidiaSmi;
  /** Replaces text in the report of `nvidia-smi -q -x`. */
  retell(from: string | RegExp, to: string): void;
  /** Findings by id. `flags` as on the command line; `more` replaces what the doctor looks through. */
  examine(flags?: Record<string, unknown>, more?: Partial<Patient>): Promise<Map<string, Check>>;
  remove(): void;
}

export function createWard(): Ward {
  const temporary = temporaryFolder('doctor');
  const spool = join(temporary.path, 'spool');
  const nvidiaSmi = createFakeNvidiaSmi(join(temporary.path, 'smi'));
  nvidiaSmi.setDevices(UUIDS.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  const report = join(temporary.path, 'smi', 'answers', 'q.xml');
  return {
    folder: temporary.path,
    spool,
    nvidiaSmi,
    retell: (from, to) => writeFileSync(report, readFileSync(report, 'utf8').replaceAll(from, to)),
    async examine(flags = {}, more = {}) {
      const settings = readConfig({ nvidiaSmi: nvidiaSmi.path, spool, node: 'n1', ...flags }, {});
      const token = (): string => 'glt_none';
      const patient = { settings, ports: { execute, files, clock }, probe, token, lockOwner, ...more };
      return new Map((await diagnose(patient)).map((check) => [check.id, check]));
    },
    remove: () => temporary.remove(),
  };
}

/** A server that answers every request the same; closes with `stop`. */
export async function startStranger(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createServer((_request, response) => {
    response.writeHead(status, headers);
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
