/** The flags that `run` and `doctor` share, and how settings are read from them, the environment and a file. */
import { readFileSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { type AgentSettings, ConfigError, readConfig } from '../config.ts';
import { SETTINGS_FILE_BYTES } from '../settings-file.ts';

export type Flags = Readonly<Record<string, unknown>>;

/** Said after every help text that has these flags. */
export const SETTINGS_HELP = `
Settings: a flag counts before its variable (in brackets), that before the file of --config, that before the default.
The file has lines of KEY=value, its keys are the names of the variables, and any other key is an error.`;

export const withSettings = (command: Command): Command =>
  command
    .option('--config <file>', 'file with settings, lines of KEY=value (GPULEDGER_CONFIG)')
    .option('--api <url>', 'address of the service (GPULEDGER_URL)')
    .option('--cluster <name>', 'cluster that the node belongs to (GPULEDGER_CLUSTER, default main)')
    .option('--node <name>', "name of the node (GPULEDGER_NODE, default the host's name)")
    .option('--token-file <file>', 'file with the token of this agent (GPULEDGER_TOKEN_FILE)')
    .option(
      '--spool <folder>',
      'where batches wait until the service has them (GPULEDGER_SPOOL, default /var/lib/gpuledger-agent)',
    )
    .option('--spool-mib <number>', 'bound of the spool in MiB (GPULEDGER_SPOOL_MIB, default 256)')
    .option('--poll <seconds>', 'time between two readings, 1 to 60 (GPULEDGER_POLL, default 5)')
    .option('--ship <seconds>', 'time between two batches, 2 to 3600 (GPULEDGER_SHIP, default two polls)')
    .option(
      '--inventory <seconds>',
      'time between two inventories, 10 to 86400 (GPULEDGER_INVENTORY, default 600)',
    )
    .option(
      '--nvidia-smi <path>',
      'the tool to read the GPUs with (GPULEDGER_NVIDIA_SMI, default nvidia-smi)',
    )
    .option('--proc <folder>', 'where /proc of the host is (GPULEDGER_PROC, default /proc)')
    .option('--passwd <file>', 'names of users (GPULEDGER_PASSWD, default /etc/passwd)')
    .option(
      '--pod-resources <socket>',
      'where the kubelet says whose devices are whose (GPULEDGER_POD_RESOURCES, default /var/lib/kubelet/pod-resources/kubelet.sock)',
    )
    .option(
      '--internal-range <network...>',
      "the site's own networks, beside the private ones (GPULEDGER_INTERNAL_RANGES, between commas)",
    )
    .option(
      '--secret-option <name...>',
      'further command-line options whose values are never kept (GPULEDGER_SECRET_OPTIONS, between commas)',
    )
    .option('--log <form>', 'form of the log on standard error, text or json (GPULEDGER_LOG, default text)');

/** Throws `ConfigError`. */
export function settingsOf(flags: Flags): AgentSettings {
  return readConfig(flags, process.env, (path) => {
    if (statSync(path).size > SETTINGS_FILE_BYTES)
      throw new ConfigError(`it is larger than ${SETTINGS_FILE_BYTES / 1024} KiB`);
    return readFileSync(path, 'utf8');
  });
}
