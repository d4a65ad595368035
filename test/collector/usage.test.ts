/** A wrong command line of the agent: one line that says whose help helps. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../../collector/bin.js', import.meta.url));

test.each([
  [['wacth'], "unknown command 'wacth'. See: gpuledger-agent --help"],
  [['run', '--pol', '3'], "unknown option '--pol' (Did you mean --poll?). See: gpuledger-agent run --help"],
  [['inspect', 'xml'], "missing required argument 'file'. See: gpuledger-agent inspect --help"],
])('%j', (args, expected) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8' });
  expect([status, stdout, stderr]).toEqual([2, '', `gpuledger-agent: ${expected}\n`]);
});
