/** `gpuledger fleet integrity`: what the nodes of each driver version read their GPUs with, and who differs. */
import { FleetIntegrity, type ToolVariant } from '../contract/integrity.ts';
import { createClient } from './client.ts';
import { EXIT } from './exit.ts';
import { print, printJson, printTable, visible } from './output.ts';

/** Enough of a hash to tell files apart by eye; the JSON has all of it. */
const HASH_CHARS = 12;
const NAMES_SHOWN = 5;

const filesText = ({ files }: ToolVariant): string =>
  files.length === 0
    ? 'none found'
    : files
        .map(({ sha256, version }) => {
          const hash = sha256 === null ? 'could not be read' : sha256.slice(0, HASH_CHARS);
          return version === null ? hash : `${hash} (${version})`;
        })
        .join(', ');

function namesText({ nodes, names }: { nodes: number; names: readonly string[] }): string {
  const shown = names.slice(0, NAMES_SHOWN);
  const rest = nodes - shown.length;
  return `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

const count = (nodes: number): string => `${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;

function verdict(answer: FleetIntegrity): string[] {
  const { differing, withoutLibrary, unlisted, nodes, ok } = answer;
  const lines: string[] = [];
  if (differing.nodes > 0) {
    const names = [...new Set(differing.items.map(({ node }) => node))];
    lines.push(
      `${count(differing.nodes)} with other files than most of the same driver version: ${namesText({ nodes: differing.nodes, names })}.`,
    );
  } else if (!ok && withoutLibrary.nodes === 0)
    lines.push('Nodes with the same driver version have different files, and none is in the majority.');
  if (withoutLibrary.nodes > 0)
    lines.push(
      `${count(withoutLibrary.nodes)} with a driver, but without libnvidia-ml: ${namesText(withoutLibrary)}.`,
    );
  if (ok && nodes > 0) lines.push(`${count(nodes)} compared: those with the same driver version agree.`);
  if (unlisted.nodes > 0)
    lines.push(`${count(unlisted.nodes)} never said what the GPUs are read with: ${namesText(unlisted)}.`);
  return lines;
}

/** Ends with 1 where nodes do not agree, for scripts. */
export async function showIntegrity(flags: { json?: boolean }): Promise<void> {
  const answer = await createClient(flags).ask(FleetIntegrity, 'GET', '/v1/integrity');
  if (!answer.ok) process.exitCode = EXIT.failed;
  if (flags.json) return printJson(answer);
  printTable(
    ['what', 'driver', 'nodes', 'file', 'which'],
    answer.groups.flatMap(({ role, driverVersion, variants }) =>
      variants.map((variant) => [
        role,
        driverVersion,
        variant.nodes,
        filesText(variant),
        variant.usual ? 'most' : namesText(variant),
      ]),
    ),
    'No agent has listed the files through which it reads GPUs.',
  );
  for (const line of verdict(answer)) print(visible(line));
}
