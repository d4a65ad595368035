/** `gpuledger fleet keys` and `accept-key`: the keys by which nodes sign what they send. */
import { NodeKeyList, NodeKeyOut } from '../contract/keys.ts';
import { createClient } from './client.ts';
import { CliError, EXIT } from './exit.ts';
import { print, printJson, printTable, visible } from './output.ts';

/** Enough of a key to tell it apart by eye and to name it; the JSON has all of it. */
const KEY_CHARS = 16;

const stateOf = ({ first, accepted, waiting }: NodeKeyOut): string =>
  waiting ? 'NOT ACCEPTED' : first || accepted === null ? 'first' : `accepted by ${accepted.by}`;

/** Ends with 1 where a key waits for somebody's word, for scripts. */
export async function showKeys(flags: { node?: string; waiting?: boolean; json?: boolean }): Promise<void> {
  const query = new URLSearchParams();
  if (flags.node !== undefined) query.set('node', flags.node);
  if (flags.waiting) query.set('waiting', 'true');
  const answer = await createClient(flags).ask(NodeKeyList, 'GET', `/v1/keys?${query}`);
  const waiting = answer.items.filter((one) => one.waiting).length;
  if (waiting > 0) process.exitCode = EXIT.failed;
  if (flags.json) return printJson(answer);
  printTable(
    ['node', 'key', 'first used', 'token', 'state'],
    answer.items.map((one) => [
      one.node,
      one.key.slice(0, KEY_CHARS),
      one.firstUsed,
      one.recordedBy,
      stateOf(one),
    ]),
    flags.waiting ? 'No key waits to be accepted.' : 'No node has signed yet.',
  );
  if (answer.keys > answer.items.length) print(`${answer.keys - answer.items.length} more are not listed.`);
}

export async function acceptKey(node: string, key: string, flags: { json?: boolean }): Promise<void> {
  const client = createClient(flags);
  const known = await client.ask(NodeKeyList, 'GET', `/v1/keys?${new URLSearchParams({ node })}`);
  const meant = known.items.filter((one) => key.length >= KEY_CHARS && one.key.startsWith(key.toLowerCase()));
  const [only] = meant;
  if (only === undefined || meant.length > 1)
    throw new CliError(
      `${visible(node)} has no key that begins with ${visible(key)}; see "gpuledger fleet keys"`,
      EXIT.usage,
    );
  const path = `/v1/nodes/${encodeURIComponent(node)}/keys/${only.key}`;
  const accepted = await client.ask(NodeKeyOut, 'PUT', path, { accepted: true });
  if (flags.json) return printJson(accepted);
  print(visible(`${accepted.node} may sign by ${accepted.key.slice(0, KEY_CHARS)}: ${stateOf(accepted)}.`));
}
