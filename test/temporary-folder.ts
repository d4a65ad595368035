import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Everything that the tests leave in the temporary folder goes into one of their own, and is removed when they end. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-tests-'));
  process.env['TMPDIR'] = folder;
  return () => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
