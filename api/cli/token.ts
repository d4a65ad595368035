/** `gpuledger token`: makes, lists and revokes tokens. Works on the data folder itself, also while the service runs. */

import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { systemClock } from '../clock.ts';
import { DATABASE_NAME, DEFAULT_DATA_FOLDER } from '../config.ts';
import { ROLES, type Role } from '../contract/primitives.ts';
import { createTokens, type Tokens } from '../services/tokens.ts';
import { openSqlite } from '../store/sqlite/open.ts';
import { openPeople } from '../store/sqlite/queries/people.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { collect } from './jobs.ts';
import { note, print, printJson, printTable, tableTime } from './output.ts';

/** Whom the journal names: the account of the shell, by number where it has no name. */
function shellUser(): string {
  try {
    return `shell of ${userInfo().username}`;
  } catch {
    return `shell of uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** Opens the tokens of a data folder. A wrong folder must not become a new one, whose tokens no service knows. */
async function withTokens<T>(folder: string, work: (tokens: Tokens) => Promise<T>): Promise<T> {
  const file = join(folder, DATABASE_NAME);
  if (!existsSync(file))
    throw new CliError(
      `there is no gpuledger in ${folder}: start the service once, or name its folder with --data`,
      EXIT.usage,
    );
  const store = openSqlite({ file, nowMs: systemClock.nowMs() });
  const people = openPeople(file);
  try {
    return await work(createTokens(people, systemClock));
  } finally {
    await people.close();
    await store.close();
  }
}

interface CreateFlags {
  readonly data: string;
  readonly role: Role;
  readonly name?: string;
  readonly node?: string;
  readonly account?: string[];
  readonly user?: string[];
  readonly json?: boolean;
}

async function create(flags: CreateFlags): Promise<void> {
  const node = flags.node ?? null;
  const made = await withTokens(flags.data, (tokens) =>
    tokens.create(
      {
        role: flags.role,
        name: flags.name ?? node ?? flags.role,
        node,
        accounts: flags.account ?? null,
        users: flags.user ?? null,
      },
      shellUser(),
    ),
  );
  if (flags.json) return printJson({ id: made.id, token: made.text, role: flags.role, node });
  print(made.text);
  note('It is shown once. Keep it in a file that only its user can read.');
}

async function list(flags: { data: string; json?: boolean }): Promise<void> {
  const tokens = await withTokens(flags.data, (all) => all.list());
  const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  if (flags.json)
    return printJson(
      tokens.map(({ id, name, role, node, accounts, users, createdAtMs, revokedAtMs, lastUsedAtMs }) => ({
        ...{ id, name, role, node, accounts, users },
        createdAt: time(createdAtMs),
        revokedAt: time(revokedAtMs),
        lastUsedAt: time(lastUsedAtMs),
      })),
    );
  printTable(
    ['id', 'name', 'role', 'for', 'created', 'last used', 'revoked'],
    tokens.map((token) => [
      ...[token.id, token.name, token.role, token.node ?? token.accounts?.join(' ') ?? ''],
      ...[token.createdAtMs, token.lastUsedAtMs, token.revokedAtMs].map((ms) => tableTime(time(ms))),
    ]),
    'No tokens.',
    ['created', 'last used', 'for'],
  );
}

async function revoke(id: string, flags: { data: string; json?: boolean }): Promise<void> {
  const done = await withTokens(flags.data, (tokens) => tokens.revoke(id, shellUser()));
  if (!done) throw new CliError(`there is no token ${id} that is not revoked yet`);
  if (flags.json) printJson({ id, revoked: true });
  else print(`revoked ${id}`);
}

const withData = (command: Command): Command =>
  command.addOption(
    new Option('--data <folder>', 'data folder of the service')
      .env('GPULEDGER_DATA')
      .default(DEFAULT_DATA_FOLDER),
  );

export function tokenCommand(): Command {
  const command = new Command('token').description('make, list and revoke tokens').addHelpText(
    'after',
    `
Examples:
  gpuledger token create --role agent --node gpu-n1 --data /var/lib/gpuledger
  gpuledger token create --role owner --account research --account physics --user alice
  gpuledger token revoke 0123456789abcdef
${EXIT_HELP}`,
  );
  withData(command.command('create').description('make a token and print it, once'))
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).makeOptionMandatory())
    .option('--name <name>', 'what records call it; default: its node or role')
    .option('--node <node>', 'agent: the node that it writes for')
    .option('--account <account>', 'owner: an account that it sees; repeatable', collect)
    .option(
      '--user <user>',
      'owner: an OS account that it declares jobs for; repeatable; default: any',
      collect,
    )
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      `
Examples:
  gpuledger token create --role agent --node gpu-n1 > token
  gpuledger token create --role viewer --name "wall display" --json
${EXIT_HELP}`,
    )
    .action(create);
  withData(command.command('list').description('tokens, without their secrets'))
    .option('--json', 'print JSON for programs')
    .addHelpText('after', `\nExample:\n  gpuledger token list --data /var/lib/gpuledger\n${EXIT_HELP}`)
    .action(list);
  withData(
    command
      .command('revoke')
      .description('end a token; it stops working at once')
      .argument('<id>', 'as "token list" shows it'),
  )
    .option('--json', 'print JSON for programs')
    .addHelpText('after', `\nExample:\n  gpuledger token revoke 0123456789abcdef\n${EXIT_HELP}`)
    .action(revoke);
  return command;
}
