/** A site's own program as a source: real programs, what they print, and how they fail. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandSettings, createCommandSource } from '../../api/schedulers/command.ts';
import type { SourceSink } from '../../api/schedulers/source.ts';
import { until } from '../cli/gpuledger.ts';
import { temporaryFolder } from '../store/site.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const NOW = Date.UTC(2026, 9, 5, 8);

/** What a source said, in order, as one line each. */
function recorder() {
  const said: string[] = [];
  const sink: SourceSink = {
    declare: async (jobs) => void said.push(`declare ${jobs.map((job) => job.externalId).join(',')}`),
    complete: async (toMs) => void said.push(`complete ${new Date(toMs).toISOString()}`),
    endMissing: async () => undefined,
    conditions: async (all) =>
      void said.push(...all.map((one) => `${one.condition} ${one.node} ${one.toMs}`)),
    problem: ({ message }) => void said.push(`problem ${message}`),
  };
  return { said, sink };
}

function sourceOf(script: string, more: Record<string, unknown> = {}) {
  const program = join(folder, 'program');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return createCommandSource(
    CommandSettings.parse({ source: 'pbs', program: [program], ...more }),
    () => NOW,
  );
}
const job = (id: string) => JSON.stringify({ externalId: id, account: 'a', start: '2026-10-05T08:00:00Z' });

describe('a program that is run at an interval', () => {
  test('is complete up to when it began, and finds what the service has', async () => {
    const { said, sink } = recorder();
    const stop = new AbortController();
    const source = sourceOf(
      `echo '${job('1')}'; echo; echo '${job('2')}'; echo "{\\"problem\\":\\"since $GPULEDGER_SINCE\\"}"`,
    );
    const followed = source.follow(NOW - 1000, sink, stop.signal);
    await until(() => said.some((line) => line.startsWith('complete')));
    stop.abort();
    await expect(followed).rejects.toThrow();
    expect(said).toEqual([
      'problem since 2026-10-05T07:59:59.000Z',
      'declare 1,2',
      'complete 2026-10-05T08:00:00.000Z',
    ]);
  });

  test('that fails is not complete; what it had said stands, and what cannot be read keeps nothing back', async () => {
    const { said, sink } = recorder();
    const bad = `echo '{"externalId"'; echo '[1]'`;
    const script = `echo '${job('1')}'; ${bad}; echo '${job('2')}'; printf '${job('3')}'; echo broken >&2; exit 3`;
    const followed = sourceOf(script).follow(null, sink, new AbortController().signal);
    await expect(followed).rejects.toThrow(/exit code 3.*broken/);
    // Its last line may be half a line.
    expect(said).toEqual([
      'problem a line is no JSON: {"externalId"',
      'problem a line is neither a declaration nor anything else that a source says',
      'declare 1,2',
    ]);
  });

  test('a line without an end costs that line, and not the memory of this process', async () => {
    const { said, sink } = recorder();
    const script = `head -c 3000000 /dev/zero | tr '\\0' x; echo; echo '${job('1')}'; exit 1`;
    await expect(sourceOf(script).follow(null, sink, new AbortController().signal)).rejects.toThrow();
    expect(said).toEqual(['problem a line is longer than 1048576 bytes', 'declare 1']);
  });

  test('sees only the variables that it is given', async () => {
    process.env['PBS_TOKEN'] = 'for-pbs';
    process.env['OTHER_TOKEN'] = 'for-others';
    const { said, sink } = recorder();
    const script = 'echo "{\\"problem\\":\\"$PBS_TOKEN $OTHER_TOKEN $TZ\\"}"; exit 1';
    const source = sourceOf(script, { environment: ['PBS_TOKEN'] });
    await expect(source.follow(null, sink, new AbortController().signal)).rejects.toThrow();
    expect(said).toEqual(['problem for-pbs  UTC']);
  });
});

test('a program that is kept running says by itself how far it is, and must not end', async () => {
  const { said, sink } = recorder();
  const condition = { node: 'n1', condition: 'drained', from: '2026-10-05T08:00:00Z', reason: 'fan' };
  const lines = [job('1'), JSON.stringify({ condition }), '{"complete":"2026-10-05T08:00:01Z"}', job('2')];
  const script = lines.map((line) => `echo '${line}'`).join('; ');
  const followed = sourceOf(script, { keep: true }).follow(null, sink, new AbortController().signal);
  await expect(followed).rejects.toThrow(/is to be kept running/);
  expect(said).toEqual(['declare 1', 'drained n1 null', 'complete 2026-10-05T08:00:01.000Z', 'declare 2']);
});
