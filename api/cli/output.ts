/** What the command line prints: tables for people, JSON for programs, and text of workloads made visible. */
import Table from 'cli-table3';

/** Control characters, the escape of terminals, and characters that reorder or hide text. */
const INVISIBLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Text that cannot move a cursor, hide, or be read in another order than it is written. */
export const visible = (text: string): string =>
  text.replaceAll(INVISIBLE, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });

const TERMINAL_COLUMNS = 80;
/** What text columns may be cut to; numbers and the first column, which names the row, never are. */
const CUT_COLUMNS = 7;
const GAP = 2;
const NO_FRAME = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((place) => [place, '']),
);

/** Characters that terminals show two columns wide. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/gu;
const widthOf = (text: string): number => [...text].length + (text.match(WIDE)?.length ?? 0);

/** Widths with which the columns fit a terminal: the widest text gives way first. */
export function fitColumns(
  wanted: readonly number[],
  cuttable: readonly boolean[],
  columns: number,
): number[] {
  const widths = [...wanted];
  for (;;) {
    if (widths.reduce((sum, width) => sum + width + GAP, 0) - GAP <= columns) return widths;
    let widest = -1;
    for (const [at, width] of widths.entries())
      if (cuttable[at] && width > CUT_COLUMNS && width > (widths[widest] ?? 0)) widest = at;
    if (widest === -1) return widths;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

export type Cell = string | number | boolean | null;

/**
 * Columns that hold numbers are right-aligned. On a terminal text is cut to its width; elsewhere it is whole, for whoever
 * searches in it. `empty` is said where there are no rows.
 */
export function printTable(head: readonly string[], rows: readonly (readonly Cell[])[], empty: string): void {
  if (rows.length === 0) {
    console.log(empty);
    return;
  }
  const texts = rows.map((row) => row.map((cell) => visible(String(cell ?? '–'))));
  const numeric = head.map((_, at) => texts.every((row) => /^(-?[\d.,]+|–|)$/.test(row[at] ?? '')));
  const wanted = head.map((title, at) =>
    Math.max(...[title, ...texts.map((row) => row[at] ?? '')].map(widthOf)),
  );
  const terminal = process.stdout.isTTY
    ? process.stdout.columns || TERMINAL_COLUMNS
    : Number.POSITIVE_INFINITY;
  const widths = fitColumns(
    wanted,
    numeric.map((one, at) => !one && at > 0),
    terminal,
  );
  const table = new Table({
    head: [...head],
    chars: NO_FRAME,
    colWidths: widths.map((width) => width + GAP),
    colAligns: numeric.map((one) => (one ? 'right' : 'left')),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': GAP },
  });
  for (const row of texts) table.push(row);
  console.log(table.toString().replaceAll(/ +$/gm, ''));
}

export const printJson = (value: unknown): void => console.log(JSON.stringify(value, null, 2));
export const print = (line: string): void => console.log(line);
/** For people; standard output stays clean for what was asked for. */
export const note = (line: string): void => console.error(line);

const MS_PER_HOUR = 3_600_000;
/** GPU-hours for reading, with two decimals; exact figures are in the JSON. */
export const hours = (ms: number): string => (ms / MS_PER_HOUR).toFixed(2);
export const shortTime = (time: string | null): string | null =>
  time === null ? null : `${time.slice(0, 16).replace('T', ' ')}Z`;
