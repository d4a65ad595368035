/** Slurm's programs as scripts that answer from files, so that a cluster can be played step by step. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../e2e/processes.ts';

export interface FakeSlurm {
  readonly bin: string;
  /** What `squeue --json` lists. */
  controller(jobs: readonly unknown[]): void;
  /** What `sacct --json` lists, whatever it is asked. */
  accounting(jobs: readonly unknown[]): void;
  nodes(nodes: readonly unknown[]): void;
  /** The program writes this, byte for byte. */
  says(program: 'squeue' | 'sacct' | 'scontrol', text: string): void;
  fails(program: 'squeue' | 'sacct', message: string | null): void;
  config(settings: Record<string, string>): void;
  /** Arguments of each call of a program so far. */
  calls(program: string): string[];
  remove(): void;
}

const LOG = 'calls';

export function createFakeSlurm(): FakeSlurm {
  const folder = temporaryFolder('fake-slurm');
  const dir = folder.path;
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  for (const program of ['squeue', 'sacct', 'scontrol'])
    writeFileSync(
      join(bin, program),
      [
        '#!/bin/sh',
        `echo "${program} $*" >> ${join(dir, LOG)}`,
        `[ -e ${join(dir, `${program}.fails`)} ] && { cat ${join(dir, `${program}.fails`)} >&2; exit 1; }`,
        `case " $* " in *" config "*) exec cat ${join(dir, 'config')} ;; esac`,
        `exec cat ${join(dir, program)}`,
        '',
      ].join('\n'),
      { mode: 0o755 },
    );
  appendFileSync(join(dir, LOG), '');
  /** At once, as a program may be reading: half an answer would be one that the cluster never gave. */
  const put = (name: string, text: string): void => {
    writeFileSync(join(dir, `${name}.new`), text);
    renameSync(join(dir, `${name}.new`), join(dir, name));
  };
  const says: FakeSlurm['says'] = put;
  const answer = (key: string, rows: readonly unknown[]) =>
    JSON.stringify({ [key]: rows, meta: { slurm: { cluster: 'lab' } }, errors: [] });
  const fake: FakeSlurm = {
    bin,
    says,
    controller: (jobs) => says('squeue', answer('jobs', jobs)),
    accounting: (jobs) => says('sacct', answer('jobs', jobs)),
    nodes: (nodes) => says('scontrol', answer('nodes', nodes)),
    fails: (program, message) => {
      const path = join(dir, `${program}.fails`);
      if (message !== null) put(`${program}.fails`, message);
      else if (existsSync(path)) rmSync(path);
    },
    config: (settings) =>
      put(
        'config',
        Object.entries(settings)
          .map(([name, value]) => `${name.padEnd(24)}= ${value}\n`)
          .join(''),
      ),
    calls: (program) =>
      readFileSync(join(dir, LOG), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith(`${program} `)),
    remove: folder.remove,
  };
  fake.config({
    ClusterName: 'lab',
    MinJobAge: '300 sec',
    AccountingStorageType: 'accounting_storage/slurmdbd',
  });
  fake.controller([]);
  fake.accounting([]);
  fake.nodes([]);
  return fake;
}
