/** Runs the stand-in as a shell would, and as the agent does. */
import { spawnSync } from 'node:child_process';

const DEADLINE_MS = 10_000;

export interface Ran {
  readonly stdout: string;
  readonly code: number | null;
  readonly signal: string | null;
}

export function run(path: string, ...args: string[]): Ran {
  const { stdout, status, signal } = spawnSync(path, args, {
    encoding: 'latin1',
    timeout: DEADLINE_MS,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { stdout: Buffer.from(stdout, 'latin1').toString('utf8'), code: status, signal };
}
