/** What every command promises of itself, and what tables do with a terminal. */
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { fitColumns, visible } from '../../api/cli/output.ts';
import { createProgram } from '../../api/cli/program.ts';

function withinOf(command: Command, way: readonly string[] = []): [string, Command][] {
  return command.commands.flatMap((child): [string, Command][] => [
    [[...way, child.name()].join(' '), child],
    ...withinOf(child, [...way, child.name()]),
  ]);
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

describe('every command', () => {
  const all = withinOf(createProgram());
  const leaves = all.filter(([, command]) => command.commands.length === 0);

  test('is there', () => {
    expect(leaves.length).toBeGreaterThan(15);
  });

  test.each(all)('%s has help with an example that names it, and exit codes', (way, command) => {
    const help = helpOf(command);
    const examples = help.slice(help.search(/\nExamples?:\n/));
    expect(examples).toContain(`gpuledger ${way}`);
    expect(help).toMatch(/exit code/i);
  });

  test.each(leaves)('%s explains each flag and argument', (_, command) => {
    expect(command.options.filter((option) => option.description === '').map((one) => one.flags)).toEqual([]);
  });

  test.each(leaves)('%s prints JSON where it prints anything', (way, command) => {
    const keepsRunning = ['start', 'serve', 'run', 'sources run'];
    const json = command.options.some((option) => option.long === '--json');
    expect(json).toBe(!keepsRunning.includes(way));
  });
});

describe('columns on a terminal', () => {
  const column = (width: number, cuttable: boolean, spare = 0) => ({ width, cuttable, spare });
  const columns = [column(18, false), column(30, true), column(40, true), column(8, false)];
  const widths = (terminal: number) => fitColumns(columns, terminal).map(({ width }) => width);

  test('stay as they are where there is room', () => {
    expect(widths(200)).toEqual([18, 30, 40, 8]);
  });

  test('give way, the widest text first, names and numbers never', () => {
    const fitted = widths(80);
    expect(fitted.reduce((sum, width) => sum + width + 2, -2)).toBe(80);
    expect([fitted[0], fitted[3]]).toEqual([18, 8]);
    expect(Math.abs((fitted[1] ?? 0) - (fitted[2] ?? 0))).toBeLessThanOrEqual(1);
  });

  test('too narrow for anything: nothing vanishes, and it ends', () => {
    expect(widths(10)).toEqual([18, 12, 12, 8]);
    expect(fitColumns([], 80)).toEqual([]);
  });

  test('what can be spared goes, the last named first', () => {
    const spared = [
      column(18, false),
      column(30, true, 1),
      column(12, false, 2),
      column(40, true),
      column(8, false),
    ];
    expect(fitColumns(spared, 60).map(({ at }) => at)).toEqual([0, 1, 3, 4]);
    expect(fitColumns(spared, 50).map(({ at }) => at)).toEqual([0, 3, 4]);
  });
});

test('text of a workload cannot move a cursor or hide', () => {
  expect(visible('a\u001b[31mred\u0007\n')).toBe('a\\x1b[31mred\\x07\\x0a');
  expect(visible('evil\u202egnp.exe')).toBe('evil\\u{202e}gnp.exe');
  expect(visible('ünïcode 漢字')).toBe('ünïcode 漢字');
});
