/** What the parsers of nvidia-smi's formats return. A value that the text does not give is `{unknown: reason}`. */

import type { Unknown, Value } from '../../reading.ts';
import { bytesToText } from '../../text.ts';

export interface MigInstance {
  readonly index: Value<number>;
  readonly uuid: Value<string>;
  /** Such as "3g.40gb" or "1c.3g.40gb". */
  readonly profile: Value<string>;
  readonly gpuInstance: Value<number>;
  readonly computeInstance: Value<number>;
  readonly memoryUsedBytes: Value<number>;
  readonly memoryTotalBytes: Value<number>;
}

export interface ParsedDevice {
  readonly uuid: Value<string>;
  readonly index: Value<number>;
  readonly minor: Value<number>;
  readonly busId: Value<string>;
  readonly model: Value<string>;
  /** As printed: not checked against 0–100. */
  readonly utilisationPercent: Value<number>;
  readonly memoryUtilisationPercent: Value<number>;
  readonly memoryUsedBytes: Value<number>;
  readonly memoryTotalBytes: Value<number>;
  readonly powerMilliwatts: Value<number>;
  /** As it is enforced now. */
  readonly powerLimitMilliwatts: Value<number>;
  readonly migEnabled: Value<boolean>;
  readonly migInstances: readonly MigInstance[];
  readonly accountingEnabled: Value<boolean>;
}

export interface ParsedProcess {
  /** UUID, or the bus id or index where the text has no UUID. */
  readonly device: Value<string>;
  readonly pid: Value<number>;
  readonly type: Value<string>;
  readonly name: Value<string>;
  readonly smPercent: Value<number>;
  readonly memoryBytes: Value<number>;
  readonly gpuInstance: Value<number>;
  readonly computeInstance: Value<number>;
}

export interface AccountedProcess {
  readonly device: Value<string>;
  readonly pid: Value<number>;
  readonly gpuUtilisationPercent: Value<number>;
  readonly memoryUtilisationPercent: Value<number>;
  readonly maxMemoryBytes: Value<number>;
  /** 0 while it runs; final when it has ended. */
  readonly timeMs: Value<number>;
  readonly running: Value<boolean>;
}

/** A line or value that was not understood, or that says that something is wrong. */
export interface Problem {
  /** From 1; null where it belongs to no line. */
  readonly line: number | null;
  /** UUID, bus id or index, as the text has it; null where it names none. */
  readonly device: string | null;
  readonly message: string;
  /** The tool says that it cannot read this device: lost, in need of a reset, no handle. */
  readonly fault: boolean;
}

export const MAX_CHARS = 16 * 1024 * 1024;
/** 16 devices with a full accounting buffer of 4000 rows each, and headers. */
const MAX_LINES = 100_000;
const MAX_PROBLEMS = 256;
const MAX_QUOTE = 200;

export const unknown = (reason: string): Unknown => ({ unknown: reason });
export const NOT_IN_OUTPUT = unknown('not in this output');

export const UNKNOWN_DEVICE: ParsedDevice = {
  uuid: NOT_IN_OUTPUT,
  index: NOT_IN_OUTPUT,
  minor: NOT_IN_OUTPUT,
  busId: NOT_IN_OUTPUT,
  model: NOT_IN_OUTPUT,
  utilisationPercent: NOT_IN_OUTPUT,
  memoryUtilisationPercent: NOT_IN_OUTPUT,
  memoryUsedBytes: NOT_IN_OUTPUT,
  memoryTotalBytes: NOT_IN_OUTPUT,
  powerMilliwatts: NOT_IN_OUTPUT,
  powerLimitMilliwatts: NOT_IN_OUTPUT,
  migEnabled: NOT_IN_OUTPUT,
  migInstances: [],
  accountingEnabled: NOT_IN_OUTPUT,
};

export const UNKNOWN_PROCESS: ParsedProcess = {
  device: NOT_IN_OUTPUT,
  pid: NOT_IN_OUTPUT,
  type: NOT_IN_OUTPUT,
  name: NOT_IN_OUTPUT,
  smPercent: NOT_IN_OUTPUT,
  memoryBytes: NOT_IN_OUTPUT,
  gpuInstance: NOT_IN_OUTPUT,
  computeInstance: NOT_IN_OUTPUT,
};

/** Foreign text for a message: control characters as `\xNN`, at most 200 characters. */
export function quote(text: string): string {
  const { text: inert, cut } = bytesToText(Buffer.from(text.slice(0, MAX_QUOTE)), MAX_QUOTE);
  return cut || text.length > MAX_QUOTE ? `${inert}…` : inert;
}

export interface Problems {
  add(line: number | null, message: string, device?: string | null): void;
  /** A line that is no data: an error or a warning of the tool, or something that is not the tool's at all. */
  foreign(line: number, text: string): void;
  list(): Problem[];
}

const BUS_ID = /[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]/i;
/** A row that was not understood still says whose it is. */
const ROW_START = /^(?:GPU|MIG)-[\w-]{0,100}/;
const FAULT = /unable to determine|is lost|unknown error|requires? (?:a )?reset|fallen off/i;

export function createProblems(): Problems {
  const found: Problem[] = [];
  let left = 0;
  const push = (problem: Problem): void => {
    if (found.length < MAX_PROBLEMS) found.push(problem);
    else left += 1;
  };
  return {
    add: (line, message, device = null) => push({ line, device, message, fault: false }),
    foreign: (line, text) => {
      const device = ROW_START.exec(text)?.[0] ?? BUS_ID.exec(text)?.[0] ?? null;
      push({ line, device, message: quote(text.trim()), fault: device !== null && FAULT.test(text) });
    },
    list: () =>
      left === 0
        ? found
        : [...found, { line: null, device: null, message: `${left} more problems`, fault: false }],
  };
}

/** Lines of a text, bounded, without their line ends; `line` counts from 1. Blank lines are left out. */
export function readLines(text: string, problems: Problems): { line: number; text: string }[] {
  if (text.length > MAX_CHARS) problems.add(null, `only the first ${MAX_CHARS} characters were read`);
  const lines = text.slice(0, MAX_CHARS).split('\n', MAX_LINES + 1);
  if (lines.length > MAX_LINES) problems.add(null, `only the first ${MAX_LINES} lines were read`);
  return lines
    .slice(0, MAX_LINES)
    .map((content, index) => ({ line: index + 1, text: content.replace(/\r$/, '') }))
    .filter((entry) => entry.text.trim() !== '');
}
