/** `gpuledger fleet`: what a site owns, from CSV or JSON. */
import { readFileSync, statSync } from 'node:fs';
import { Command } from 'commander';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { FleetResult, MODES } from '../contract/fleet.ts';
import { createClient, withClient, withJson } from './client.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { showIntegrity } from './fleet-integrity.ts';
import { acceptKey, showKeys } from './fleet-keys.ts';
import { parseTime } from './jobs.ts';
import { print, printJson, printTable } from './output.ts';

const FILE_MAX_BYTES = 16 * 1024 * 1024;

/** One device a line; a node without devices has one line with empty uuid and model. */
const CsvRow = z.strictObject({
  node: z.string().min(1),
  group: z.string().optional(),
  mode: z.enum([...MODES, '']).optional(),
  from: z.string().min(1),
  to: z.string().optional(),
  uuid: z.string().optional(),
  model: z.string().optional(),
  index: z.string().optional(),
});
type CsvRow = z.infer<typeof CsvRow>;

function nodesFromCsv(text: string): unknown[] {
  const parsed: unknown = parse(text, { columns: true, trim: true, skip_empty_lines: true, bom: true });
  const result = z.array(CsvRow).safeParse(parsed);
  if (!result.success) {
    const [issue] = result.error.issues;
    const line = Number(issue?.path[0] ?? 0) + 2;
    throw new CliError(`line ${line}, ${String(issue?.path[1] ?? 'columns')}: ${issue?.message}`, EXIT.usage);
  }
  return [...Map.groupBy(result.data, (row) => row.node)].map(([node, rows]) => nodeOf(node, rows));
}

function nodeOf(node: string, rows: readonly CsvRow[]): unknown {
  const first = rows[0];
  return {
    node,
    group: first?.group || undefined,
    mode: first?.mode || undefined,
    from: parseTime(first?.from ?? '', 'from'),
    to: first?.to ? parseTime(first.to, 'to') : null,
    devices: rows
      .filter((row) => row.uuid)
      .map((row) => ({ uuid: row.uuid, model: row.model, index: row.index ? Number(row.index) : undefined })),
  };
}

function readFleet(file: string): unknown[] {
  let text: string;
  try {
    if (statSync(file).size > FILE_MAX_BYTES) throw new CliError(`${file} is larger than 16 MiB`, EXIT.usage);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      EXIT.usage,
    );
  }
  if (!/^\s*[[{]/.test(text)) return nodesFromCsv(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${file} is not JSON: ${error instanceof Error ? error.message : error}`, EXIT.usage);
  }
  const nodes = z.union([z.array(z.unknown()), z.object({ nodes: z.array(z.unknown()) })]).safeParse(value);
  if (!nodes.success) throw new CliError(`${file}: expected a list of nodes, or {"nodes": […]}`, EXIT.usage);
  return Array.isArray(nodes.data) ? nodes.data : nodes.data.nodes;
}

async function importFleet(file: string, flags: { dryRun?: boolean; json?: boolean }): Promise<void> {
  const nodes = readFleet(file);
  const result = await createClient(flags).ask(FleetResult, 'PUT', '/v1/fleet', {
    nodes,
    dryRun: flags.dryRun ?? false,
  });
  if (flags.json) return printJson(result);
  printTable(
    ['node', 'device', 'change'],
    result.changes.map((change) => [change.node, change.device, change.change]),
    'Nothing changes.',
  );
  if (result.dryRun) print('Dry run: nothing was changed.');
}

export function fleetCommand(): Command {
  const command = new Command('fleet')
    .description('nodes and devices that a site owns')
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger fleet import fleet.csv --dry-run\n  gpuledger fleet integrity\n${EXIT_HELP}`,
    );
  withJson(
    withClient(
      command.command('import').description('import a fleet list').argument('<file>', 'CSV or JSON'),
    ),
  )
    .option('--dry-run', 'only say what would change')
    .addHelpText(
      'after',
      `
A CSV has the columns node, from, uuid, model and if wanted group, mode, to, index: one device a line.
From its date on, a node that never enrolled is shown, not measured.

Examples:
  gpuledger fleet import fleet.csv --dry-run
  gpuledger fleet import fleet.json
${EXIT_HELP}`,
    )
    .action(importFleet);
  withJson(
    withClient(command.command('integrity').description('compare what the nodes read their GPUs with')),
  )
    .addHelpText(
      'after',
      `
Nodes with the same driver version should have the same nvidia-smi and libnvidia-ml. Names those that do not.

Example:
  gpuledger fleet integrity
\nExit codes: 0 they agree, 1 failed or they do not agree, 2 wrong usage.`,
    )
    .action(showIntegrity);
  withJson(withClient(command.command('keys').description('list the keys by which nodes sign')))
    .option('--node <name>', 'of one node')
    .option('--waiting', 'only those that nobody has accepted')
    .addHelpText(
      'after',
      `
A node's first key is taken on its word. Any other is a finding until an administrator accepts it.

Example:
  gpuledger fleet keys --waiting
\nExit codes: 0 none waits to be accepted, 1 failed or one does, 2 wrong usage.`,
    )
    .action(showKeys);
  withJson(
    withClient(
      command
        .command('accept-key')
        .description("say that a key is the node's own: it was installed anew, or its spool moved")
        .argument('<node>')
        .argument('<key>', '16 characters of it, or more'),
    ),
  )
    .addHelpText(
      'after',
      `
Compare it with what "gpuledger-agent doctor" says on the node itself.

Example:
  gpuledger fleet accept-key gpu-n1 3b6a27bcceb6a42d
${EXIT_HELP}`,
    )
    .action(acceptKey);
  return command;
}
