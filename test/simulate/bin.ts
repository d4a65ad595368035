/** `npm run simulate`: makes sites up from seeds, plays each, and holds the ledger to what really happened. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { loadScenario } from '../replay/load.ts';
import { generate } from './generate.ts';
import type { Failure } from './judge.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';
import type { Document } from './site.ts';

const USAGE = `npm run simulate -- [--seed N] [--runs K] [--minutes M] [--keep FILE] [--json] [FILE…]

Makes up a site, its jobs, diversions, faults and late declarations from each seed, plays it through the real agents and the real
service, and holds the ledger to what really happened. docs/SIMULATOR.md says what is checked.

  --seed N      the first seed (default 1)
  --runs K      so many seeds, one after another (default 1; with --minutes: until they are over)
  --minutes M   stop after so many minutes
  --keep FILE   where the scenario of a failing seed is written (default: simulate-failure.yaml)
  --no-shrink   keep a failing scenario as it is
  --json        one JSON document a line instead of text
  FILE…         hold these scenarios to the same rules instead

Exit code: 0 everything held, 1 something did not, 2 wrong usage.
`;

const DEFAULT_KEEP = 'simulate-failure.yaml';
const LINES = 12;
/** A failing scenario is made smaller for this long at most. */
const SHRINK_MS = 300_000;

interface Told {
  readonly runs: number;
  readonly failed: readonly string[];
  readonly polls: number;
  readonly tookMs: number;
}

function optionsOf() {
  return parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      runs: { type: 'string' },
      minutes: { type: 'string' },
      keep: { type: 'string', default: DEFAULT_KEEP },
      'no-shrink': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
}

/** null: it is none. */
function numberOf(text: string | undefined, orElse: number): number | null {
  const number = text === undefined ? orElse : Number(text);
  return Number.isFinite(number) && number >= 0 ? number : null;
}

async function main(): Promise<number> {
  let read: ReturnType<typeof optionsOf>;
  try {
    read = optionsOf();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  const { values, positionals } = read;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [seed, minutes] = [numberOf(values.seed, 1), numberOf(values.minutes, 0)];
  const runs = numberOf(values.runs, minutes === null || minutes === 0 ? 1 : Number.MAX_SAFE_INTEGER);
  if (seed === null || minutes === null || runs === null || !Number.isInteger(seed)) {
    process.stderr.write(`--seed, --runs and --minutes must be numbers\n\n${USAGE}`);
    return 2;
  }
  const startedMs = performance.now();
  const isOver = (): boolean => minutes > 0 && performance.now() - startedMs >= minutes * 60_000;
  const failed: string[] = [];
  let [done, polls] = [0, 0];
  let work: Iterable<Work>;
  try {
    work = positionals.length > 0 ? positionals.map(fromFile) : fromSeeds(seed, runs, isOver);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  for (const { name, order, document } of work) {
    const run = await simulate(document, order);
    done += 1;
    polls += run.polls;
    if (values.json) say({ name, tookMs: run.tookMs, polls: run.polls, failures: run.failures });
    progress(`${name}: ${done} played, ${failed.length} failed`);
    if (run.failures.length === 0) continue;
    failed.push(name);
    progress('');
    if (!values.json) process.stdout.write(`FAILED ${name}\n${linesOf(run.failures)}\n`);
    await keep(document, order, run.failures, values.keep, values['no-shrink'] || positionals.length > 0);
  }
  progress('');
  const all: Told = { runs: done, failed, polls, tookMs: Math.round(performance.now() - startedMs) };
  if (values.json) say(all);
  else process.stdout.write(`${sumOf(all)}\n`);
  return failed.length > 0 ? 1 : 0;
}

interface Work {
  readonly name: string;
  readonly order: number;
  readonly document: Document;
}

function* fromSeeds(first: number, runs: number, isOver: () => boolean): Generator<Work> {
  for (let seed = first; seed < first + runs && !isOver(); seed += 1)
    yield { name: `seed ${seed}`, order: seed, document: generate(seed) };
}

/** Throws what reading it throws, and `ScenarioError`, which says what is wrong with it. */
function fromFile(file: string): Work {
  loadScenario(file);
  const document: Document = parse(readFileSync(file, 'utf8'));
  return { name: file, order: 1, document };
}

async function keep(
  document: Document,
  order: number,
  failures: readonly Failure[],
  file: string,
  asItIs: boolean,
): Promise<void> {
  const startedMs = performance.now();
  const isOver = (): boolean => performance.now() - startedMs > SHRINK_MS;
  const attempt = async (one: Document): Promise<readonly Failure[]> => (await simulate(one, order)).failures;
  const small = asItIs ? { document, failures, tries: 0 } : await shrink(document, failures, attempt, isOver);
  const why = linesOf(small.failures).replaceAll(/^ */gm, '# ');
  writeFileSync(file, `${why}\n${stringify(small.document)}`);
  process.stderr.write(`  written to ${file}${asItIs ? '' : `, made smaller in ${small.tries} tries`}\n`);
}

const linesOf = (failures: readonly Failure[]): string =>
  failures
    .slice(0, LINES)
    .map(({ rule, text }) => `  ${rule}: ${text.slice(0, 500)}`)
    .join('\n');

const sumOf = ({ runs, failed, polls, tookMs }: Told): string =>
  `${runs} played, ${failed.length} failed${failed.length > 0 ? ` (${failed.slice(0, LINES).join(', ')})` : ''}; ` +
  `${polls} polls in ${(tookMs / 1000).toFixed(1)} s`;

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

/** On a terminal only: one line, written over. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

process.exitCode = await main();
