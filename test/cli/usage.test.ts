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
    const keepsRunning = ['start', 'serve', 'run'];
    const json = command.options.some((option) => option.long === '--json');
    expect(json).toBe(!keepsRunning.includes(way));
  });
});

test('columns give way to the terminal, the widest text first, names and numbers never', () => {
  expect(fitColumns([18, 30, 40, 8], [false, true, true, false], 200)).toEqual([18, 30, 40, 8]);
  const fitted = fitColumns([18, 30, 40, 8], [false, true, true, false], 80);
  expect(fitted.reduce((sum, width) => sum + width + 2, -2)).toBe(80);
  expect([fitted[0], fitted[3]]).toEqual([18, 8]);
  expect(Math.abs((fitted[1] ?? 0) - (fitted[2] ?? 0))).toBeLessThanOrEqual(1);
  // Too narrow for anything: no endless loop, and nothing vanishes.
  expect(fitColumns([18, 30, 40, 8], [false, true, true, false], 10)).toEqual([18, 7, 7, 8]);
});

test('text of a workload cannot move a cursor or hide', () => {
  expect(visible('a\u001b[31mred\u0007\n')).toBe('a\\x1b[31mred\\x07\\x0a');
  expect(visible('evil\u202egnp.exe')).toBe('evil\\u{202e}gnp.exe');
  expect(visible('ünïcode 漢字')).toBe('ünïcode 漢字');
});
