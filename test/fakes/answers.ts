/**
 * Lays a folder out for the stand-in nvidia-smi: the program itself and, under `answers/`, what it would print for a
 * simulated node at a moment. A file is replaced in one step and only when it differs.
 */
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Field } from '../simulator/nvidia-smi-fields.ts';
import { ACCOUNTED_FIELDS, APP_FIELDS, GPU_FIELDS } from '../simulator/nvidia-smi-fields.ts';
import { renderPmon } from '../simulator/nvidia-smi-pmon.ts';
import { appRows, endedRows, gpuRows, renderNvidiaSmi } from '../simulator/render-nvidia-smi.ts';
import type { NodeState } from '../simulator/snapshot.ts';

const PROGRAM = fileURLToPath(new URL('./nvidia-smi/nvidia-smi', import.meta.url));
const PMON_SELECTIONS = ['u', 'um', 'mu', 'm'];

export interface AnswerFolder {
  /** The executable. */
  readonly path: string;
  write(state: NodeState): void;
  /** `null` takes the file away. Also for files that are not answers, such as `faults`. */
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
    const temporary = join(answers, `.${name}`);
    writeFileSync(temporary, text);
    renameSync(temporary, join(answers, name));
    written.set(name, text);
  };

  return {
    path,
    put,
    write: (state) => {
      put('query-gpu.tsv', table(GPU_FIELDS, gpuRows(state)));
      put('query-compute-apps.tsv', table(APP_FIELDS, appRows(state)));
      put('query-accounted-apps.tsv', table(ACCOUNTED_FIELDS, endedRows(state)));
      for (const letters of PMON_SELECTIONS)
        put(`pmon-${letters}.txt`, renderPmon(state, ['pmon', '-s', letters]));
      put('q.xml', withoutLost(renderNvidiaSmi(state, ['-q', '-x']).stdout));
      put('list.txt', withoutLost(renderNvidiaSmi(state, ['-L']).stdout));
      for (const option of [
        'help-query-gpu',
        'help-query-compute-apps',
        'help-query-accounted-apps',
        'version',
      ])
        put(`${option}.txt`, renderNvidiaSmi(state, [`--${option}`]).stdout);
      const lost = lostLines(renderNvidiaSmi(state, ['-L']).stdout);
      put('lost.txt', lost === '' ? null : lost);
    },
  };
}

const LOST = /^Unable to determine .*\n/gm;
const withoutLost = (text: string): string => text.replaceAll(LOST, '');
const lostLines = (text: string): string => (text.match(LOST) ?? []).join('');

/** Tab-separated: names with their aliases, units ("-": none), then one line a row. */
function table<Row>(fields: readonly Field<Row>[], rows: readonly Row[]): string {
  const lines = [
    fields.map(({ names }) => names.join('|')).join('\t'),
    fields.map(({ unit }) => unit || '-').join('\t'),
    ...rows.map((row) => fields.map(({ value }) => value(row).replaceAll(/[\t\n]/g, ' ')).join('\t')),
  ];
  return `${lines.join('\n')}\n`;
}
