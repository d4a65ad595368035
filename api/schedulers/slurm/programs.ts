/** Asks Slurm by its programs: JSON where they write it, else text. */
import { join } from 'node:path';
import { ProgramError, runProgram } from '../program.ts';
import { assertCluster, type RowsOf, rowsOf, type Slurm, type Wanted } from './answers.ts';
import type { SlurmSettings } from './settings.ts';
import { ACCOUNTING_COLUMNS, CONTROLLER_COLUMNS, NODE_COLUMNS, textRows } from './text-rows.ts';

/** A client waits for minutes on a controller that is down. */
const SILENCE_MS = 60_000;
/** Accounting may think for long before its first byte. */
const ACCOUNTING_SILENCE_MS = 300_000;
const MAX_BYTES = 4 * 1024 ** 3;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** What a program that cannot write JSON says: it knows no such option, or has no plugin for it. */
const NO_JSON = /unrecognized option|invalid option|unknown option|serializer|data_parser|openapi|json/i;

/** `onText`: a program wrote no JSON, and is asked for text from now on. */
export function createPrograms(settings: SlurmSettings, onText: (program: string) => void): Slurm {
  const { cluster, bin, conf = process.env['SLURM_CONF'] } = settings;
  const environment: Record<string, string> = conf === undefined ? {} : { SLURM_CONF: conf };
  const unusable = new Set<string>();

  const run = (program: string, args: readonly string[], silenceMs: number, signal: AbortSignal) => {
    const file = bin === undefined ? program : join(bin, program);
    return runProgram({ file, args, environment, silenceMs, maxBytes: MAX_BYTES, signal });
  };

  /** The first of the ways that the program knows; each is tried once, and what it cannot do is not asked again. */
  async function ask(ways: readonly Way[], signal: AbortSignal): Promise<RowsOf> {
    const usable = ways.filter((one) => !unusable.has(one.name));
    for (const [at, way] of usable.entries()) {
      const silenceMs = way.silenceMs ?? SILENCE_MS;
      const chunks = run(way.program, way.args, silenceMs, signal);
      try {
        const begun = await begin(
          way.columns === null ? rowsOf(chunks, way.keys, cluster) : textRows(chunks, way.columns),
        );
        return { rows: begun, zoneless: true };
      } catch (error) {
        const last = at === usable.length - 1;
        if (last || !(error instanceof ProgramError) || !NO_JSON.test(error.said)) throw error;
        unusable.add(way.name);
        if (usable[at + 1]?.columns !== null) onText(way.program);
      }
    }
    throw new Error('there is no way to ask');
  }

  return {
    jobs: (signal) => {
      const fields = CONTROLLER_COLUMNS.map(([column]) => `${column}:|`).join(',');
      return ask(
        [
          way('squeue', ['--local', '--all', '--states=all', '--json'], ['jobs']),
          text(
            'squeue',
            ['--local', '--all', '--states=all', '--noheader', '-O', fields],
            CONTROLLER_COLUMNS,
          ),
        ],
        signal,
      );
    },
    runs: (wanted, signal) => {
      const args = ['--local', '--allusers', '--duplicates', '--allocations', ...accountingArgs(wanted)];
      const format = `--format=${ACCOUNTING_COLUMNS.map(([column]) => column).join(',')}`;
      const silenceMs = ACCOUNTING_SILENCE_MS;
      return ask(
        [
          { ...way('sacct', [...args, '--json'], ['jobs']), silenceMs },
          { ...text('sacct', [...args, '--noheader', '--parsable2', format], ACCOUNTING_COLUMNS), silenceMs },
        ],
        signal,
      );
    },
    nodes: (signal) => {
      const fields = NODE_COLUMNS.map(([column]) => `${column}:|`).join(',');
      return ask(
        [
          way('scontrol', ['--json', 'show', 'nodes'], ['nodes']),
          way('sinfo', ['--json'], ['nodes']),
          text('sinfo', ['--all', '--Node', '--noheader', '-O', fields], NODE_COLUMNS),
        ],
        signal,
      );
    },
    async identify(signal) {
      const config = await configOf(run('scontrol', ['show', 'config'], SILENCE_MS, signal));
      const answered = config.get('ClusterName') ?? null;
      assertCluster(cluster, answered);
      return {
        cluster: answered,
        version: config.get('SLURM_VERSION') ?? null,
        privateData: config.get('PrivateData') ?? null,
        remembersMs: secondsOf(config.get('MinJobAge')),
        hasAccounting:
          settings.accounting && config.get('AccountingStorageType') !== 'accounting_storage/none',
      };
    },
  };
}

interface Way {
  /** Of the way, not of the program: one program may know one of them. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly keys: readonly string[];
  readonly columns: Parameters<typeof textRows>[1] | null;
  readonly silenceMs?: number;
}

const way = (program: string, args: readonly string[], keys: readonly string[]): Way => ({
  ...{ name: `${program} --json`, program, args, keys, columns: null },
});

const text = (program: string, args: readonly string[], columns: NonNullable<Way['columns']>): Way => ({
  ...{ name: program, program, args, keys: [], columns },
});

/** Waits for the first row, so that a program that fails at once fails here. */
async function begin(rows: AsyncGenerator<unknown>): Promise<AsyncIterable<unknown>> {
  const first = await rows.next();
  return (async function* () {
    if (first.done === true) return;
    try {
      yield first.value;
      yield* rows;
    } finally {
      await rows.return(undefined);
    }
  })();
}

/** sacct takes local time, which is UTC for it, to the second; its window includes both ends. */
const stamp = (ms: number): string => new Date(ms).toISOString().slice(0, 19);

function accountingArgs(wanted: Wanted): string[] {
  if ('jobIds' in wanted) return ['--jobs', wanted.jobIds.join(','), '--starttime', stamp(wanted.sinceMs)];
  return ['--starttime', stamp(wanted.fromMs), '--endtime', stamp(Math.ceil(wanted.toMs / 1000) * 1000)];
}

/** `300 sec`. */
function secondsOf(text: string | undefined): number | null {
  const [, seconds] = /^(\d{1,9}) sec/.exec(text ?? '') ?? [];
  return seconds === undefined ? null : Number(seconds) * 1000;
}

/** `Name = value` lines; the values are an administrator's. */
async function configOf(chunks: AsyncIterable<Buffer>): Promise<Map<string, string>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes <= MAX_CONFIG_BYTES) parts.push(chunk);
  }
  const config = new Map<string, string>();
  for (const line of Buffer.concat(parts).toString('utf8').split('\n')) {
    const [, name, value] = /^([A-Za-z_]+)\s*=\s(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && !config.has(name)) config.set(name, value.trim());
  }
  return config;
}
