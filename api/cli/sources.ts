/** `gpuledger sources`: who declares jobs and how far each is complete; and the process that follows schedulers. */
import { Command } from 'commander';
import { SourceList, type SourceOut } from '../contract/sources.ts';
import { hide } from '../schedulers/problems.ts';
import { runSources } from '../schedulers/run.ts';
import { type Client, createClient, withClient, withJson } from './client.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { note, print, printJson, printTable, tableTime, visible } from './output.ts';
import { createSourceService } from './source-service.ts';
import { readSourcesFile, type SourcesFile } from './sources-file.ts';

const MS_PER_SECOND = 1000;
/** How long a test may take, for each source. */
const TEST_MS = 60_000;
/** What is still open when everything has been told to stop may not keep the process. */
const EXIT_MS = 15_000;

interface Flags {
  readonly json?: boolean;
  readonly config?: string;
  readonly url?: string;
  readonly tokenFile?: string;
}

const nowMs = (): number => Date.now();

async function list(flags: Flags): Promise<void> {
  const answer = await createClient(flags).ask(SourceList, 'GET', '/v1/sources');
  if (flags.json) return printJson(answer);
  printTable(
    [
      'source',
      'instance',
      'kind',
      'state',
      'complete to',
      'behind s',
      'lagging',
      'jobs',
      'last heard',
      'problems',
    ],
    answer.items.map((source) => [
      ...[source.source, source.sourceInstance, source.selfDeclared ? 'self-declared' : 'scheduler'],
      ...[
        stateOf(source),
        tableTime(source.completeTo),
        source.lagMs === null ? null : Math.round(source.lagMs / MS_PER_SECOND),
      ],
      ...[
        source.lagging ? 'yes' : 'no',
        source.jobs,
        tableTime(source.lastHeard),
        source.health?.problemCount ?? 0,
      ],
    ]),
    'Nobody has declared a job yet.',
    ['kind', 'jobs', 'last heard'],
  );
}

const stateOf = ({ health, suspect }: SourceOut): string | null =>
  suspect !== null ? `suspect: ${suspect.nodes} nodes` : health?.silent ? 'silent' : (health?.state ?? null);

function fileOf(flags: Flags): SourcesFile {
  if (flags.config === undefined) throw new CliError('give the file of sources with --config', EXIT.usage);
  return readSourcesFile(flags.config, nowMs);
}

/** Flags before the file, the file before the environment. */
function clientOf(flags: Flags, { service }: SourcesFile): Client {
  const { url, tokenFile } = service;
  return createClient({
    ...(url === undefined ? {} : { url }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...flags,
  });
}

async function test(flags: Flags): Promise<void> {
  const file = fileOf(flags);
  const rows: { source: string; name: string; ok: boolean; message: string }[] = [];
  const add = (source: string, one: { name: string; ok: boolean; message: string }) =>
    rows.push({ source, name: one.name, ok: one.ok, message: hide(one.message, file.secrets) });
  await Promise.all(
    file.sources.map(async ({ source }) => {
      const name = `${source.source}/${source.instance}`;
      try {
        for (const one of await source.check(AbortSignal.timeout(TEST_MS))) add(name, one);
      } catch (error) {
        add(name, {
          name: 'test',
          ok: false,
          message: error instanceof Error ? error.message : String(error),
        });
      }
    }),
  );
  try {
    await clientOf(flags, file).ask(SourceList, 'GET', '/v1/sources');
    add('service', { name: 'token', ok: true, message: 'the service answers, and takes the token' });
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    add('service', { name: 'token', ok: false, message: error.message });
  }
  if (flags.json) printJson({ checks: rows });
  else
    for (const { source, name, ok, message } of rows)
      print(`${ok ? 'ok    ' : 'FAILED'} ${visible(source)} ${name}: ${visible(message)}`);
  if (rows.some((row) => !row.ok)) throw new CliError('a source would not work from here');
}

async function run(flags: Flags): Promise<void> {
  const file = fileOf(flags);
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort(new Error('told to stop'));
    setTimeout(() => process.exit(EXIT.failed), EXIT_MS).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const service = createSourceService(clientOf(flags, file));
  note(`gpuledger: following ${file.sources.length === 1 ? '1 source' : `${file.sources.length} sources`}`);
  await runSources(
    file.sources.map((one) => one.source),
    {
      ...{ service, nowMs, signal: stop.signal, secrets: file.secrets },
      log: ({ source, instance }, message) => note(visible(`${source}/${instance}: ${message}`)),
    },
  );
  note('gpuledger: stopped');
  // What a source left open must not keep the process.
  process.exit(EXIT.done);
}

async function explain(flags: Flags): Promise<void> {
  const file = fileOf(flags);
  const answer = await clientOf(flags, file)
    .ask(SourceList, 'GET', '/v1/sources')
    .catch((error: unknown) => (error instanceof CliError ? error : Promise.reject(error)));
  const shown = file.sources.map(({ kind, reads, settings, source }) => {
    const known = (one: SourceOut): boolean =>
      one.source === source.source && one.sourceInstance === source.instance;
    return {
      ...{ source: source.source, sourceInstance: source.instance, kind, reads },
      settings: Object.entries(settings ?? {}).map(([name, value]) => ({
        ...{ name, value: hide(JSON.stringify(value), file.secrets) },
      })),
      standing: (answer instanceof CliError ? [answer.message] : standing(answer.items.find(known))).map(
        (line) => hide(line, file.secrets),
      ),
    };
  });
  if (flags.json) return printJson({ sources: shown });
  for (const one of shown) {
    print(`${one.source}/${one.sourceInstance} (kind ${one.kind})`);
    const lines: (readonly [string, string])[] = [
      ['reads', one.reads],
      ...one.settings.map(({ name, value }) => [name, value] as const),
      ...one.standing.map((line) => ['service', line] as const),
    ];
    const width = Math.max(...lines.map(([name]) => name.length));
    for (const [name, value] of lines) print(`  ${name.padEnd(width)} ${visible(value)}`);
  }
}

/** What the service knows of a source, in sentences. */
function standing(source: SourceOut | undefined): string[] {
  if (source === undefined) return ['it has never heard of it: nothing waits for its record'];
  const { completeTo, lagMs, health } = source;
  const lines = [
    completeTo === null
      ? 'it has declared jobs and never said how far it is complete: nothing waits for its record'
      : `complete to ${completeTo}, ${Math.round((lagMs ?? 0) / MS_PER_SECOND)} s ago; later use without a job awaits its record`,
  ];
  if (source.suspect !== null)
    lines.push(
      `suspect: its record stopped at ${source.suspect.since}, and ${source.suspect.nodes} nodes of its jobs were used without one since`,
    );
  if (health === null) return lines;
  lines.push(
    health.silent
      ? `its runner was heard last at ${health.reportedAt}: start gpuledger sources run again`
      : `${health.state} since ${health.since}`,
  );
  for (const { at, subject, message } of health.problems)
    lines.push(`${at} ${subject === null ? '' : `${subject}: `}${message}`);
  return lines;
}

const CONFIG = ['--config <file>', 'which schedulers are followed, and how (YAML; docs/SOURCES.md)'] as const;

const FILE = '--config sources.yaml';

export function sourcesCommand(): Command {
  const sources = new Command('sources')
    .description('who declares jobs, how far each is complete, and the process that follows schedulers')
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger sources --json\n  gpuledger sources test --config sources.yaml\n${EXIT_HELP}`,
    );
  const sub = (name: string, description: string, flags: string): Command =>
    withClient(new Command(name).description(description)).addHelpText(
      'after',
      `\nExample:\n  gpuledger sources ${name} ${flags}\n${EXIT_HELP}`,
    );
  return sources
    .addCommand(
      withJson(sub('list', 'who declares jobs, and how far each is complete', '--json')).action(list),
      {
        isDefault: true,
      },
    )
    .addCommand(
      withJson(
        sub('test', 'whether each source would work from here; declares nothing', FILE).option(...CONFIG),
      ).action(test),
    )
    .addCommand(
      sub('run', 'follow them until told to stop', FILE)
        .option(...CONFIG)
        .action(run),
    )
    .addCommand(
      withJson(
        sub('explain', 'what each reads, its settings, and how it stands', FILE).option(...CONFIG),
      ).action(explain),
    );
}
