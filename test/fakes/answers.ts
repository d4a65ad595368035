/**
 * Lays a folder out for the stand-in nvidia-smi: the program itself and, under `answers/`, what it would print for a
 * simulated node at a moment. A file is replaced in one step and only when it differs.
 */
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Field } from '../simulator/nvidia-smi-fields.ts';
import {
  ACCOUNTED_FIELDS,
  APP_FIELDS,
  driverBranch,
  fieldsOf,
  GPU_FIELDS,
} from '../simulator/nvidia-smi-fields.ts';
import { renderPmon } from '../simulator/nvidia-smi-pmon.ts';
import { appRows, endedRows, gpuRows, renderNvidiaSmi } from '../simulator/render-nvidia-smi.ts';
import type { NodeState } from '../simulator/snapshot.ts';

const PROGRAM = fileURLToPath(new URL('./nvidia-smi/nvidia-smi', import.meta.url));
export const PMON_SELECTIONS = ['u', 'um', 'mu', 'm'];
/** Drivers before this one show four devices in pmon and leave the others out. */
const PMON_ALL_FROM = 450;
const PMON_DEVICES = 4;

export interface AnswerFolder {
  /** The executable. */
  readonly path: string;
  /** What it answers for that state; into a folder of `answers/` where one is named, for a scenario. */
  write(state: NodeState, frame?: string): void;
  /** A file below `answers/`, also one that is no answer, such as `faults`. `null` takes it away. */
  put(name: string, text: string | null): void;
}

export function createAnswerFolder(folder: string): AnswerFolder {
  const answers = join(folder, 'answers');
  const path = join(folder, 'nvidia-smi');
  mkdirSync(answers, { recursive: true });
  copyFileSync(PROGRAM, path);
  chmodSync(path, 0o755);
  const written = new Map<string, string>();

  const put = (name: string, text: string | null): void => {
    if (text === null) {
      rmSync(join(answers, name), { force: true });
      written.delete(name);
      return;
    }
    if (written.get(name) === text) return;
    const file = join(answers, name);
    if (dirname(file) !== answers) mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
    written.set(name, text);
  };

  const write = (state: NodeState, frame?: string): void => {
    const add = (name: string, text: string | null): void =>
      put(frame === undefined ? name : join(frame, name), text);
    const { driverVersion } = state.node;
    add('query-gpu.tsv', tableOf(fieldsOf(GPU_FIELDS, driverVersion), gpuRows(state)));
    add('query-compute-apps.tsv', tableOf(APP_FIELDS, appRows(state)));
    add('query-accounted-apps.tsv', tableOf(ACCOUNTED_FIELDS, endedRows(state)));
    for (const letters of PMON_SELECTIONS)
      add(`pmon-${letters}.txt`, renderPmon(state, ['pmon', '-s', letters]));
    add('pmon-devices', driverBranch(driverVersion) < PMON_ALL_FROM ? `${PMON_DEVICES}\n` : null);
    add('q.xml', withoutLost(renderNvidiaSmi(state, ['-q', '-x']).stdout));
    const list = renderNvidiaSmi(state, ['-L']).stdout;
    add('list.txt', withoutLost(list));
    for (const option of [
      'help-query-gpu',
      'help-query-compute-apps',
      'help-query-accounted-apps',
      'version',
    ])
      add(`${option}.txt`, renderNvidiaSmi(state, [`--${option}`]).stdout);
    const lost = (list.match(LOST) ?? []).join('');
    add('lost.txt', lost === '' ? null : lost);
  };
  return { path, put, write };
}

const LOST = /^Unable to determine .*\n/gm;
const withoutLost = (text: string): string => text.replaceAll(LOST, '');

function tableOf<Row>(fields: readonly Field<Row>[], rows: readonly Row[]): string {
  return tableText(
    fields.map(({ names }) => names.join('|')),
    fields.map(({ unit }) => unit),
    rows.map((row) => fields.map(({ value }) => value(row))),
  );
}

/** Tab-separated: names with their aliases, units ("-": none), then one line a row. */
export function tableText(
  names: readonly string[],
  units: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cell = (text: string): string => text.replaceAll('\n', '\u0001').replaceAll('\t', '\u0002');
  const lines = [names, units.map((unit) => unit || '-'), ...rows.map((row) => row.map(cell))];
  return `${lines.map((line) => line.join('\t')).join('\n')}\n`;
}
