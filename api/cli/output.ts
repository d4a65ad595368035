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

const CELL_CHARS = 60;
const cut = (text: string): string => (text.length > CELL_CHARS ? `${text.slice(0, CELL_CHARS - 1)}…` : text);

export type Cell = string | number | boolean | null;

/** Columns that hold numbers are right-aligned. `empty` is said where there are no rows. */
export function printTable(head: readonly string[], rows: readonly (readonly Cell[])[], empty: string): void {
  if (rows.length === 0) {
    console.log(empty);
    return;
  }
  const numeric = head.map((_, column) => rows.every((row) => /^-?[\d.,]*$/.test(String(row[column] ?? ''))));
  const table = new Table({
    head: [...head],
    colAligns: numeric.map((one) => (one ? 'right' : 'left')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(row.map((cell) => cut(visible(String(cell ?? '–')))));
  console.log(table.toString());
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
