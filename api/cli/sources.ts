/** `gpuledger sources`: who declares jobs, and how far each is complete. */
import { Command } from 'commander';
import { SourceList } from '../contract/sources.ts';
import { createClient, withClient, withJson } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { printJson, printTable, tableTime } from './output.ts';

const MS_PER_SECOND = 1000;

async function sources(flags: { json?: boolean }): Promise<void> {
  const answer = await createClient(flags).ask(SourceList, 'GET', '/v1/sources');
  if (flags.json) return printJson(answer);
  printTable(
    ['source', 'instance', 'kind', 'complete to', 'behind s', 'lagging', 'jobs', 'last heard'],
    answer.items.map((source) => [
      ...[source.source, source.sourceInstance, source.selfDeclared ? 'self-declared' : 'scheduler'],
      ...[
        tableTime(source.completeTo),
        source.lagMs === null ? null : Math.round(source.lagMs / MS_PER_SECOND),
      ],
      ...[source.lagging ? 'yes' : 'no', source.jobs, tableTime(source.lastHeard)],
    ]),
    'Nobody has declared a job yet.',
    ['kind', 'jobs', 'last heard'],
  );
}

export const sourcesCommand = (): Command =>
  withJson(withClient(new Command('sources').description('who declares jobs, and how far each is complete')))
    .addHelpText('after', `\nExample:\n  gpuledger sources --json\n${EXIT_HELP}`)
    .action(sources);
