/** `gpuledger sign-in`: another one-time link for the pages, for whoever may write to the data folder. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { systemClock } from '../clock.ts';
import { DATABASE_NAME, DEFAULT_DATA_FOLDER, DEFAULT_HOST, DEFAULT_PORT } from '../config.ts';
import { ROLES, type Role } from '../contract/primitives.ts';
import { createSessions } from '../services/sessions.ts';
import { openSqlite } from '../store/sqlite/open.ts';
import { openPeople } from '../store/sqlite/queries/people.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { collect } from './jobs.ts';
import { print, printJson } from './output.ts';

/** An agent has nothing to look at. */
const PAGE_ROLES = ROLES.filter((role) => role !== 'agent');

interface Flags {
  readonly data: string;
  readonly url: string;
  readonly role: Role;
  readonly name?: string;
  readonly account?: string[];
  readonly json?: boolean;
}

async function signIn(flags: Flags): Promise<void> {
  const file = join(flags.data, DATABASE_NAME);
  if (!existsSync(file))
    throw new CliError(`there is no gpuledger in ${flags.data}: name its folder with --data`, EXIT.usage);
  if (!/^https?:$/.test(URL.parse(flags.url)?.protocol ?? ''))
    throw new CliError(`--url ${flags.url} is not an address such as http://127.0.0.1:8470`, EXIT.usage);
  const store = openSqlite({ file, nowMs: systemClock.nowMs() });
  const people = openPeople(file);
  try {
    const code = await createSessions(people, systemClock).createCode({
      name: flags.name ?? `local ${flags.role}`,
      role: flags.role,
      accounts: flags.account ?? null,
    });
    const url = `${flags.url.replace(/\/+$/, '')}/sign-in?code=${code}`;
    if (flags.json) printJson({ url });
    else print(url);
  } finally {
    await people.close();
    await store.close();
  }
}

export const signInCommand = (): Command =>
  new Command('sign-in')
    .description('print a one-time link that signs a browser in, valid for 15 minutes')
    .addOption(
      new Option('--data <folder>', 'data folder of the service')
        .env('GPULEDGER_DATA')
        .default(DEFAULT_DATA_FOLDER),
    )
    .addOption(
      new Option('--url <url>', 'address of the service')
        .env('GPULEDGER_URL')
        .default(`http://${DEFAULT_HOST}:${DEFAULT_PORT}`),
    )
    .addOption(new Option('--role <role>', 'what the browser may do').choices(PAGE_ROLES).default('admin'))
    .option('--name <name>', 'what records call it; default: its role')
    .option('--account <account>', 'owner: an account that it sees; repeatable', collect)
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      `
Examples:
  gpuledger sign-in --data /var/lib/gpuledger
  gpuledger sign-in --role owner --account research --url https://ledger.example.org
${EXIT_HELP}`,
    )
    .action(signIn);
