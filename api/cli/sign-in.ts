/** `gpuledger sign-in`: another one-time link for the pages, for whoever may write to the data folder. */
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { systemClock } from '../clock.ts';
import { DATABASE_NAME, DEFAULT_DATA_FOLDER, DEFAULT_HOST, DEFAULT_PORT } from '../config.ts';
import { createSessions } from '../services/sessions.ts';
import { openSqlite } from '../store/sqlite/open.ts';
import { openPeople } from '../store/sqlite/queries/people.ts';
import { EXIT_HELP } from './exit.ts';
import { print } from './output.ts';

async function signIn(flags: { data: string; url: string }): Promise<void> {
  const file = join(flags.data, DATABASE_NAME);
  const store = openSqlite({ file, nowMs: systemClock.nowMs() });
  const people = openPeople(file);
  try {
    const code = await createSessions(people, systemClock).createCode({ name: 'local admin', role: 'admin' });
    print(`${flags.url.replace(/\/+$/, '')}/sign-in?code=${code}`);
  } finally {
    await people.close();
    await store.close();
  }
}

export const signInCommand = (): Command =>
  new Command('sign-in')
    .description('print a one-time link that signs a browser in as admin, valid for 15 minutes')
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
    .addHelpText('after', `\nExample:\n  gpuledger sign-in --data /var/lib/gpuledger\n${EXIT_HELP}`)
    .action(signIn);
