/** `npm run bench:diversion`: plays all scenarios, scores them beside the baselines, and reports per family. */
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pageOf, reportOf } from './diversion-report.ts';
import type { Benched } from './diversion-score.ts';

const USAGE = `npm run bench:diversion -- [FILE…] [--check] [--json] [--write]

Plays scenario files (default: all of test/scenarios) through the real agent and service, scores each against what really
happened, and prints a report per family beside seven naive baselines.

  --check   exit with 1 where a goal is missed
  --json    the report as JSON
  --write   put the report into docs/diversion.md and docs/diversion.json

Exit code: 0 done, 1 one could not be played, its books did not balance, or (--check) a goal was missed, 2 wrong usage.
`;

const FOLDER = new URL('../scenarios/', import.meta.url);
const WORKER = fileURLToPath(new URL('./diversion-worker.ts', import.meta.url));
const DOCS = new URL('../../docs/', import.meta.url);

interface Answer {
  readonly benched?: Benched;
  readonly file?: string;
  readonly failure?: string;
}

/** Every scenario file, also those in folders below. */
const allFiles = (): string[] =>
  readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => fileURLToPath(new URL(name, FOLDER)));

async function playAll(files: readonly string[]): Promise<{ benched: Benched[]; failures: string[] }> {
  const waiting = [...files];
  const benched: Benched[] = [];
  const failures: string[] = [];
  const serve = (worker: ChildProcess): Promise<void> =>
    new Promise((resolve) => {
      let file = '';
      const next = (): void => {
        file = waiting.shift() ?? '';
        if (file === '') worker.disconnect();
        else worker.send(file);
      };
      worker.on('message', (message) => {
        const { benched: one, failure }: Answer = Object(message);
        if (one !== undefined) benched.push(one);
        else failures.push(failure ?? `${file}: no answer`);
        const misses = one?.misses.join('; ') ?? failure;
        const done = `${benched.length + failures.length}/${files.length}`;
        const said = misses === '' ? 'ok' : JSON.stringify(misses);
        process.stderr.write(`${done} ${one?.score.id ?? file} ${seconds(one?.tookMs)} ${said}\n`);
        file = '';
        next();
      });
      worker.on('exit', (code) => {
        if (file !== '') failures.push(`${file}: the process that played it ended with ${code}`);
        resolve();
      });
      next();
    });
  const workers = Math.min(files.length, availableParallelism());
  await Promise.all(Array.from({ length: workers }, () => serve(fork(WORKER))));
  const place = (one: Benched): number => files.indexOf(one.file);
  return { benched: benched.sort((a, b) => place(a) - place(b)), failures };
}

const seconds = (ms: number | undefined): string => (ms === undefined ? '' : `${(ms / 1000).toFixed(1)} s`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      check: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { benched, failures } = await playAll(positionals.length > 0 ? positionals : allFiles());
  const report = reportOf(benched);
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : pageOf(report));
  if (values.write) {
    writeFileSync(new URL('diversion.md', DOCS), pageOf(report));
    writeFileSync(new URL('diversion.json', DOCS), `${JSON.stringify(report, null, 2)}\n`);
  }
  for (const failure of failures) process.stderr.write(`${failure}\n`);
  if (failures.length > 0 || benched.some(({ score }) => !score.conserved)) return 1;
  return values.check && benched.some(({ misses }) => misses.length > 0) ? 1 : 0;
}

process.exitCode = await main();
