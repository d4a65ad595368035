/**
 * The lines of `nvidia-smi --query-…=… --format=csv`. The tool quotes nothing: cells are separated by ", ", errors and
 * warnings come on stdout among good rows, and a process name may hold the separator.
 */
import { type Problems, readLines } from './parsed.ts';

export interface CsvRow {
  readonly line: number;
  /** By column name, as the header spells it without its unit. */
  cell(...names: readonly string[]): string | undefined;
  /** The unit that the header names for that column. */
  unit(...names: readonly string[]): string | undefined;
}

export interface Csv {
  readonly rows: readonly CsvRow[];
  /** Rows of a text without a header line: their columns have no names. */
  readonly nameless: readonly (readonly string[])[];
  readonly hasHeader: boolean;
}

interface Column {
  readonly name: string;
  readonly unit: string | undefined;
}

const SEPARATOR = ', ';
const MAX_COLUMNS = 512;
/** A header may follow some lines of warnings. */
const HEADER_WITHIN = 64;
const FIELD = /^[A-Za-z]\w*(?:\.\w+)*(?: \[([^\]]{1,20})\])?$/;
/** Lines of the tool that are no rows however many commas they hold. */
const MESSAGES = [
  /^(?:unable to |failed to |nvidia-smi has failed|nvml|no devices|warning|error|invalid )/i,
  /^(?:field "|not supported on|insufficient permissions$|gpu access)/i,
  /^gpu ?\d*:? ?[0-9a-f]{4,8}:[0-9a-f]{2}:/i,
];
const isMessage = (line: string): boolean => MESSAGES.some((message) => message.test(line));
/** What a cell of a table without header may look like; at least one of a row must. */
const VALUES = [
  /^(?:\[.*\]|N\/A|Enabled|Disabled)$/,
  /^(?:-?\d[\d.]*(?: ?[A-Za-z%]{1,5})?|0x[0-9A-Fa-f]+)$/,
  /^(?:(?:GPU|MIG)-[\w/-]+|[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d)$/,
  /^\d{4}\/\d{2}\/\d{2} /,
];
const isValue = (cell: string): boolean => VALUES.some((value) => value.test(cell));

/**
 * `known` are the names of which a header has at least one. `freeText` are the columns that hold text of the workload:
 * a row with too many cells is read from both ends and what remains in the middle is that text.
 */
export function readCsv(
  text: string,
  known: ReadonlySet<string>,
  freeText: ReadonlySet<string>,
  problems: Problems,
): Csv {
  const lines = readLines(text, problems);
  const headerAt = lines
    .slice(0, HEADER_WITHIN)
    .findIndex((entry) => columnsOf(entry.text)?.some((column) => known.has(column.name)));
  const header = lines[headerAt];
  const first = header ? columnsOf(header.text) : null;
  if (!header || !first) return { rows: [], nameless: namelessRows(lines, problems), hasHeader: false };
  for (const entry of lines.slice(0, headerAt)) problems.foreign(entry.line, entry.text);
  let columns = first;
  let freeAt = -1;
  const rows: CsvRow[] = [];
  for (const entry of lines.slice(headerAt)) {
    const named = columnsOf(entry.text);
    if (named && (entry === header || isHeader(named, known))) {
      columns = named;
      freeAt = columns.findIndex((column) => freeText.has(column.name));
      continue;
    }
    if (entry.text === header.text) continue;
    // A line that begins with text of the workload may begin as a message does.
    const message = (freeAt !== 0 || columns.length === 1) && isMessage(entry.text);
    const cells = message ? null : arrange(split(entry.text), columns.length, freeAt);
    if (cells) rows.push(createRow(entry.line, columns, cells));
    else problems.foreign(entry.line, entry.text);
  }
  return { rows, nameless: [], hasHeader: true };
}

/** Captures that were put together go on with other columns. A row of values is no header: it has a number or a UUID. */
function isHeader(columns: readonly Column[], known: ReadonlySet<string>): boolean {
  return columns.length > 1 && columns.filter(({ name }) => known.has(name)).length * 2 >= columns.length;
}

function split(line: string): string[] {
  const cells = line.split(SEPARATOR);
  const last = cells.at(-1) ?? '';
  // An empty last cell whose space an editor took away.
  if (last.endsWith(',')) cells.splice(-1, 1, last.slice(0, -1), '');
  return cells;
}

function columnsOf(line: string): Column[] | null {
  const cells = line.length > MAX_COLUMNS * 100 ? [] : split(line);
  if (cells.length === 0 || cells.length > MAX_COLUMNS) return null;
  const columns: Column[] = [];
  for (const cell of cells.map((text) => text.trim())) {
    const match = FIELD.exec(cell);
    if (!match) return null;
    columns.push({ name: cell.split(' ', 1)[0] ?? '', unit: match[1] });
  }
  return columns;
}

/** Cells for exactly `count` columns, or null. Spaces within the free text are its own. */
function arrange(cells: string[], count: number, freeAt: number): string[] | null {
  const arranged = whole(cells, count, freeAt);
  return arranged?.map((cell) => cell.trim()) ?? null;
}

function whole(cells: string[], count: number, freeAt: number): string[] | null {
  if (cells.length === count) return cells;
  if (cells.length < count || freeAt < 0) return null;
  const after = count - freeAt - 1;
  const end = cells.length - after;
  return [...cells.slice(0, freeAt), cells.slice(freeAt, end).join(SEPARATOR), ...cells.slice(end)];
}

function createRow(line: number, columns: readonly Column[], cells: readonly string[]): CsvRow {
  const at = (names: readonly string[]): number => columns.findIndex((column) => names.includes(column.name));
  return {
    line,
    cell: (...names) => cells[at(names)],
    unit: (...names) => columns[at(names)]?.unit,
  };
}

function namelessRows(lines: readonly { line: number; text: string }[], problems: Problems): string[][] {
  const candidates = lines.map((entry) => {
    const cells = isMessage(entry.text) ? [] : split(entry.text).map((cell) => cell.trim());
    return { ...entry, cells: cells.some(isValue) ? cells : [] };
  });
  const counts = new Map<number, number>();
  for (const { cells } of candidates)
    if (cells.length > 0) counts.set(cells.length, (counts.get(cells.length) ?? 0) + 1);
  const [usual, count] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [0, 0];
  // A number here and there in foreign text is no table.
  const isTable = count * 2 >= lines.length;
  const rows: string[][] = [];
  for (const entry of candidates)
    if (isTable && entry.cells.length > 0 && entry.cells.length === usual) rows.push(entry.cells);
    else problems.foreign(entry.line, entry.text);
  if (rows.length > 0)
    problems.add(null, 'no header line: only values that say themselves what they are were taken');
  return rows;
}
