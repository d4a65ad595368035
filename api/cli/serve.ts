/** `gpuledger serve`: the service alone, for a machine of its own. Also what `start` builds on. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { App } from '../app.ts';
import { readConfig, type ServiceConfig } from '../config.ts';
import type { Role } from '../contract/primitives.ts';
import { CLI_TOKEN_NAME } from './client.ts';
import { CliError, EXIT_HELP } from './exit.ts';
import { note, print } from './output.ts';

const FOLDER_MODE = 0o700;
const PRIVATE_UMASK = 0o077;
const SECRET_MODE = 0o600;

export const withService = (command: Command): Command =>
  command
    .option('--data <folder>', 'where everything is kept (GPULEDGER_DATA, default ./data)')
    .option('--port <port>', 'port to listen on (GPULEDGER_PORT, default 8470; 0: any free one)')
    .option('--host <address>', 'address to listen on (GPULEDGER_HOST, default 127.0.0.1)')
    .option('--cluster <name>', 'name of this site (GPULEDGER_CLUSTER, default main)')
    .option(
      '--log-level <level>',
      'trace, debug, info, warn, error, silent (GPULEDGER_LOG_LEVEL, default warn)',
    );

/** A token kept in a file of the data folder, for programs of this machine; made anew when it no longer works. */
export async function tokenFile(
  app: App,
  folder: string,
  fileName: string,
  wanted: { name: string; role: Role; node: string | null },
): Promise<string> {
  const file = join(folder, fileName);
  const { tokens } = app.services;
  try {
    const known = await tokens.check(readFileSync(file, 'utf8').trim());
    if (known?.caller.role === wanted.role && known.caller.node === wanted.node) {
      chmodSync(file, SECRET_MODE);
      return file;
    }
  } catch {
    // Not there yet, or not ours to read.
  }
  const { text } = await tokens.create({ ...wanted, accounts: null });
  writeFileSync(file, `${text}\n`, { mode: SECRET_MODE });
  chmodSync(file, SECRET_MODE);
  return file;
}

function listenError(error: unknown, { host, port }: ServiceConfig): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (error.code === 'EADDRINUSE')
    return new CliError(`port ${port} on ${host} is taken. Stop what uses it, or choose another with --port`);
  if (error.code === 'EACCES')
    return new CliError(`port ${port} may not be used by this account. Choose one above 1023 with --port`);
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN')
    return new CliError(`${host} is not an address of this machine. Choose one with --host`);
  return error;
}

/** Opens the data folder and listens. Everything that a person can put right is thrown as one clear error. */
export async function startService(config: ServiceConfig): Promise<{ app: App; url: string }> {
  // The database holds text about people: nobody else on this machine may read its files.
  process.umask(PRIVATE_UMASK);
  try {
    mkdirSync(config.data, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(
      `the data folder ${config.data} cannot be made (${why}). Choose one that you may write to with --data`,
    );
  }
  // Loaded here, since commands that only ask the service need none of it and should start fast.
  const { createApp, createLog } = await import('../app.ts');
  const app = await createApp({
    dataFolder: config.data,
    host: config.host,
    port: config.port,
    cluster: config.cluster,
    log: createLog(config.logLevel),
  });
  try {
    const { url } = await app.start();
    await tokenFile(app, config.data, CLI_TOKEN_NAME, {
      name: 'local command line',
      role: 'admin',
      node: null,
    });
    return { app, url };
  } catch (error) {
    await app.stop();
    throw listenError(error, config);
  }
}

/** Resolves at the first request to stop. A terminal may send several; they mean the same. */
export function stopRequested(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(signal));
  });
}

async function serve(flags: Record<string, unknown>): Promise<void> {
  const stop = stopRequested();
  const { app } = await startService(readConfig(flags, process.env));
  print(`gpuledger is ready. Sign in within 15 minutes, once: ${await app.signInLink()}`);
  await stop;
  note('gpuledger: stopping');
  await app.stop();
}

export const serveCommand = (): Command =>
  withService(new Command('serve').description('run the service alone, without a local agent'))
    .addHelpText(
      'after',
      `
Examples:
  gpuledger serve --data /var/lib/gpuledger --host 0.0.0.0
  gpuledger serve --port 9000 --log-level info
${EXIT_HELP}`,
    )
    .action(serve);
