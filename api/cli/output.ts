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
/** Text columns are cut to no less than this; numbers, times and the first column never are. */
const CUT_COLUMNS = 12;
const GAP = 2;
const NO_FRAME = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
  ].map((place) => [place, '']),
);

/** Characters that terminals show two columns wide. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff00-\uff60]/gu;
const widthOf = (text: string): number => [...text].length + (text.match(WIDE)?.length ?? 0);

export interface Column {
  readonly width: number;
  readonly cuttable: boolean;
  /** The highest goes first where there is no room for all; 0: stays. */
  readonly spare: number;
}

/** The columns that fit a terminal, by their place, with their widths: spare ones go, then the widest text gives way. */
export function fitColumns(wanted: readonly Column[], terminal: number): { at: number; width: number }[] {
  let kept = wanted.map((column, at) => ({ ...column, at }));
  const total = (widths: readonly number[]): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  const least = ({ cuttable, width }: Column): number => (cuttable ? Math.min(width, CUT_COLUMNS) : width);
  while (total(kept.map(least)) > terminal) {
    const most = Math.max(...kept.map((column) => column.spare));
    if (most === 0) break;
    kept = kept.filter((column) => column.spare !== most);
  }
  const widths = kept.map((column) => column.width);
  while (total(widths) > terminal) {
    const widest = kept.reduce<number>((best, { cuttable }, at) => {
      const width = widths[at] ?? 0;
      return cuttable && width > CUT_COLUMNS && width > (widths[best] ?? 0) ? at : best;
    }, -1);
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return kept.map(({ at }, place) => ({ at, width: widths[place] ?? 0 }));
}

/** The end of a path says more than its beginning. */
function cut(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return text.startsWith('/')
    ? `…${characters.slice(characters.length - width + 1).join('')}`
    : `${characters.slice(0, width - 1).join('')}…`;
}

export type Cell = string | number | boolean | null;

/** Numbers, and times as `tableTime` writes them. */
const WHOLE = /^(-?[\d.,]+|[\d :Z-]+|–|)$/;

/**
 * Columns that hold numbers are right-aligned. On a terminal the table is made to fit: columns of `spare` go, the last of
 * them first, and text is cut. Elsewhere it is whole, for whoever searches in it. `empty` is said where there are no rows.
 */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  empty: string,
  spare: readonly string[] = [],
): void {
  if (rows.length === 0) {
    console.log(empty);
    return;
  }
  const texts = rows.map((row) => row.map((cell) => visible(String(cell ?? '–'))));
  const column = (at: number): string[] => texts.map((row) => row[at] ?? '');
  const numeric = head.map((_, at) => column(at).every((text) => /^(-?[\d.,]+|–|)$/.test(text)));
  const wanted = head.map((title, at) => ({
    width: Math.max(...[...title.split('\n'), ...column(at)].map(widthOf)),
    cuttable: at > 0 && !column(at).every((text) => WHOLE.test(text)),
    spare: spare.indexOf(title) + 1,
  }));
  const terminal = process.stdout.isTTY
    ? process.stdout.columns || TERMINAL_COLUMNS
    : Number.POSITIVE_INFINITY;
  const fitted = fitColumns(wanted, terminal);
  const table = new Table({
    head: fitted.map(({ at }) => head[at] ?? ''),
    chars: { ...NO_FRAME, middle: ' '.repeat(GAP) },
    colWidths: fitted.map(({ width }) => width),
    colAligns: fitted.map(({ at }) => (numeric[at] ? 'right' : 'left')),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of texts) table.push(fitted.map(({ at, width }) => cut(row[at] ?? '', width)));
  console.log(table.toString().replaceAll(/ +$/gm, ''));
}

export const printJson = (value: unknown): void => console.log(JSON.stringify(value, null, 2));
export const print = (line: string): void => console.log(line);
/** For people; standard output stays clean for what was asked for. */
export const note = (line: string): void => console.error(line);

const MS_PER_HOUR = 3_600_000;
/** GPU-hours for reading, with two decimals; exact figures are in the JSON. */
export const hours = (ms: number): string => (ms / MS_PER_HOUR).toFixed(2);
/** For columns of times near now: without the day where that is today, without the year where it is this one. */
export function tableTime(time: string | null): string | null {
  if (time === null) return null;
  const now = new Date().toISOString();
  if (time.slice(0, 10) === now.slice(0, 10)) return `${time.slice(11, 16)}Z`;
  return time.slice(0, 4) === now.slice(0, 4) ? `${time.slice(5, 16).replace('T', ' ')}Z` : time.slice(0, 10);
}
export const shortTime = (time: string | null): string | null =>
  time === null ? null : `${time.slice(0, 16).replace('T', ' ')}Z`;
