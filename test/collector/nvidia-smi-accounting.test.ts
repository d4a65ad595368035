import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Executed } from '../../collector/ports.ts';
import { lineDifference } from '../../collector/sources/nvidia-smi/line-difference.ts';
import { done, fact, gpuText, rig, uuidOf } from './nvidia-smi-rig.ts';

const HEAD = 'gpu_uuid, pid, gpu_utilization [%], max_memory_usage [MiB], time [ms]\n';
const row = (index: number, pid: number, timeMs: number, busy = '40 %'): string =>
  `${uuidOf(index)}, ${pid}, ${busy}, 3 MiB, ${timeMs} ms\n`;
const MIB = 1024 * 1024;

/** Two devices; what their accounting says, and whether it is on, can be changed between polls. */
function accounting() {
  const now: { rows: string; modes: [string, string]; answer: Executed | null } = {
    rows: '',
    modes: ['Enabled', 'Enabled'],
    answer: null,
  };
  const made = rig({
    gpu: (fields) =>
      done(
        gpuText(fields, [0, 1], {
          0: { 'accounting.mode': now.modes[0] },
          1: { 'accounting.mode': now.modes[1] },
        }),
      ),
    accounted: () => now.answer ?? done(HEAD + now.rows),
  });
  const asked = () => made.calls.filter(([head]) => head?.startsWith('--query-accounted-apps')).length;
  const poll = async () => {
    const { ended, problems } = await made.poller.poll([fact(0), fact(1)]);
    const rows = ended.map(({ device, pid, openMs }) => [device === uuidOf(0) ? 0 : 1, pid, openMs]);
    return { ended, rows, messages: problems.map(({ message }) => message) };
  };
  return { now, poll, asked, poller: made.poller };
}

describe('what ended between two readings', () => {
  it('is what the accounting has now and had not before, and has ended', async () => {
    const { now, poll } = accounting();
    now.rows = row(0, 5, 900) + row(0, 6, 0);
    expect((await poll()).ended).toEqual([]);
    now.rows = row(0, 5, 900) + row(0, 6, 0, '41 %') + row(0, 7, 0) + row(1, 8, 50, '[N/A]');
    expect((await poll()).ended).toEqual([
      { device: uuidOf(1), pid: 8, openMs: 50, busyPercent: null, maxMemoryBytes: 3 * MIB },
    ]);
    now.rows = row(0, 5, 900) + row(0, 6, 77) + row(0, 7, 0) + row(1, 8, 50, '[N/A]');
    expect((await poll()).ended).toEqual([
      { device: uuidOf(0), pid: 6, openMs: 77, busyPercent: 40, maxMemoryBytes: 3 * MIB },
    ]);
    expect((await poll()).ended).toEqual([]);
  });

  it('knows a pid that came again by its values, and old rows that were overwritten', async () => {
    const { now, poll } = accounting();
    now.rows = row(0, 5, 900);
    await poll();
    now.rows = row(0, 5, 33);
    expect((await poll()).rows).toEqual([[0, 5, 33]]);
    now.rows = row(0, 6, 44) + row(0, 5, 33);
    expect((await poll()).rows).toEqual([[0, 6, 44]]);
    now.rows = row(0, 6, 44) + row(0, 7, 55);
    expect(await poll()).toMatchObject({ rows: [[0, 7, 55]], messages: [] });
  });

  it('begins anew when the list was emptied, and says so once', async () => {
    const { now, poll } = accounting();
    now.rows = row(0, 5, 900) + row(0, 6, 0) + row(1, 9, 10);
    await poll();
    now.rows = row(0, 6, 0) + row(0, 7, 12) + row(1, 9, 10) + row(1, 10, 20);
    expect(await poll()).toMatchObject({
      rows: [[1, 10, 20]],
      messages: [expect.stringContaining('emptied')],
    });
    now.rows += row(0, 8, 13);
    expect(await poll()).toMatchObject({ rows: [[0, 8, 13]], messages: [] });
  });

  it('counts for a device only while the mode was on at both ends', async () => {
    const { now, poll, asked } = accounting();
    now.modes = ['Disabled', 'Disabled'];
    now.rows = row(0, 5, 900);
    expect([(await poll()).rows, asked()]).toEqual([[], 0]);
    now.modes = ['Enabled', 'Disabled'];
    expect([(await poll()).rows, asked()]).toEqual([[], 1]);
    now.rows += row(0, 6, 10) + row(1, 7, 20);
    expect((await poll()).rows).toEqual([[0, 6, 10]]);
    now.modes = ['Disabled', 'Enabled'];
    await poll();
    now.modes = ['Enabled', 'Enabled'];
    now.rows += row(0, 8, 30) + row(1, 9, 40);
    expect((await poll()).rows).toEqual([[1, 9, 40]]);
  });

  it('is late, not lost, when an answer fails or is cut', async () => {
    const { now, poll } = accounting();
    now.rows = row(0, 5, 900);
    await poll();
    now.rows += row(0, 6, 10);
    now.answer = done(HEAD + row(0, 5, 900) + row(0, 6, 10).slice(0, -9));
    expect(await poll()).toMatchObject({ rows: [], messages: [expect.stringContaining('half a line')] });
    now.answer = done(HEAD, 0, 'timeout');
    expect((await poll()).rows).toEqual([]);
    now.answer = null;
    expect((await poll()).rows).toEqual([[0, 6, 10]]);
  });

  it('is not asked again of a driver that refuses, until the next inventory', async () => {
    const { now, poll, asked, poller } = accounting();
    now.answer = done('This query is not supported on vGPU host.\n', 3);
    expect((await poll()).messages).toEqual([expect.stringContaining('not supported')]);
    expect([await poll(), asked()]).toMatchObject([{ messages: [] }, 1]);
    poller.inventoried({
      devices: [],
      driverVersion: '1',
      accountingMode: true,
      cost: null,
      failure: null,
      problems: [],
    });
    await poll();
    expect(asked()).toBe(2);
  });

  it('reads on when lines of other devices stand at the end, whatever the exit code', async () => {
    const { now, poll } = accounting();
    now.rows = Array.from({ length: 400 }, (_, at) => row(0, 100 + at, 5)).join('');
    await poll();
    now.rows += row(0, 6, 10);
    const lost = 'Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.\n';
    now.answer = done(HEAD + now.rows + lost, 15);
    expect((await poll()).rows).toEqual([[0, 6, 10]]);
  });
});

describe('the difference between two lists', () => {
  const lines = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 40 });
  const text = (list: readonly number[]): Buffer =>
    Buffer.from(list.map((one) => `row ${one} of ${'x'.repeat(one)}\n`).join(''));

  it('is what one has and the other lacks, in whatever order', () => {
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const { removed, added } = lineDifference(text(before), text(after));
        const of = (list: readonly number[], others: readonly number[]) =>
          list
            .filter((one) => !others.includes(one))
            .map((one) => `row ${one} of ${'x'.repeat(one)}`.trimEnd());
        expect([...removed].sort()).toEqual(of(before, after).sort());
        expect([...added].sort()).toEqual(of(after, before).sort());
      }),
      { numRuns: 500 },
    );
  });

  it('finds the few that changed among many', () => {
    const many = Array.from({ length: 20_000 }, (_, at) => `${uuidOf(at % 8)}, ${at}, 5 %, ${at} ms`);
    const changed = [...many.slice(1, 9_000), 'changed', ...many.slice(9_001), 'new'];
    const { removed, added } = lineDifference(
      Buffer.from(`${many.join('\n')}\n`),
      Buffer.from(`${changed.join('\n')}\n`),
    );
    expect([...removed].sort()).toEqual([many[0], many[9_000]].sort());
    expect([...added]).toEqual(['changed', 'new']);
  });
});
