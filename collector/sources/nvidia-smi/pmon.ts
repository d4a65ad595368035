/**
 * `nvidia-smi pmon`: one row a process and device. The columns depend on the driver and the switches and their order
 * follows the switches, so they are read from the header, which may come again in the middle of a tick.
 */
import { createProblems, type ParsedProcess, type Problem, readLines, UNKNOWN_PROCESS } from './parsed.ts';
import { bytes, name, percent, pid, processType, whole } from './values.ts';

export interface PmonOutput {
  /** One for every row that names a process; `device` is the index. `smPercent` unknown ("no sample") is not zero. */
  readonly processes: readonly ParsedProcess[];
  /** Every device that has a row, also those without processes, ascending. */
  readonly indexes: readonly number[];
  readonly hasHeader: boolean;
  readonly problems: readonly Problem[];
}

interface Header {
  readonly columns: readonly string[];
  readonly units: ReadonlyMap<string, string>;
}

const MAX_COLUMNS = 64;
const MAX_INDEX = 4095;

/** Never throws. */
export function parsePmon(text: string): PmonOutput {
  const problems = createProblems();
  const processes: ParsedProcess[] = [];
  const indexes = new Set<number>();
  let header: Header | null = null;
  for (const entry of readLines(text, problems)) {
    if (entry.text.trimStart().startsWith('#')) {
      header = readHeader(entry.text, header);
      continue;
    }
    const cells: ReadonlyMap<string, string> | null = header ? cellsOf(entry.text, header.columns) : null;
    const index = whole(cells?.get('gpu'), 0, MAX_INDEX);
    if (!header || !cells || typeof index !== 'number') {
      problems.foreign(entry.line, entry.text);
      continue;
    }
    indexes.add(index);
    const number = pid(cells.get('pid'));
    if (typeof number === 'number') processes.push(processOf(index, number, cells, header));
    else if (cells.get('pid') !== '-') problems.foreign(entry.line, entry.text);
  }
  return {
    processes,
    indexes: [...indexes].sort((a, b) => a - b),
    hasHeader: header !== null,
    problems: problems.list(),
  };
}

/** The first of the two header lines names the columns, the second their units. */
function readHeader(line: string, before: Header | null): Header | null {
  const words = line.replace('#', ' ').trim().toLowerCase().split(/\s+/, MAX_COLUMNS);
  // A process whose name begins with a line break and "#" writes 14 bytes here; a header is longer.
  if (words.includes('gpu') && words.includes('pid') && words.at(-1) === 'command')
    return { columns: words, units: new Map() };
  if (!before || words.length !== before.columns.length) return before;
  const spelt = line.replace('#', ' ').trim().split(/\s+/, MAX_COLUMNS);
  const units = new Map(before.columns.map((column, at) => [column, spelt[at] ?? '']));
  return { columns: before.columns, units };
}

/**
 * The command is the last column and may hold spaces. A row that ends before it is half a row; one that ends in the gap
 * is of a process whose name begins with a line break or is blank.
 */
function cellsOf(line: string, columns: readonly string[]): ReadonlyMap<string, string> | null {
  const cells = new Map<string, string>();
  const word = /\S+/g;
  for (const column of columns.slice(0, -1)) {
    const match = word.exec(line);
    if (!match) return null;
    cells.set(column, match[0]);
  }
  const rest = line.slice(word.lastIndex).trim();
  if (rest === '' && !/\s{2}$/.test(line)) return null;
  return cells.set('command', rest);
}

function processOf(
  index: number,
  number: number,
  cells: ReadonlyMap<string, string>,
  header: Header,
): ParsedProcess {
  return {
    ...UNKNOWN_PROCESS,
    device: String(index),
    pid: number,
    type: processType(cells.get('type')),
    name: name(cells.get('command')),
    smPercent: percent(cells.get('sm')),
    memoryBytes: bytes(cells.get('fb'), header.units.get('fb') ?? 'MB'),
  };
}
