/** `gpuledger-agent run`: watches this node's GPUs and reports to the service until it is told to stop; `--once` only looks. */
import { Command } from 'commander';
import { ConfigError, requireApi } from '../config.ts';
import { complain, EXIT_USAGE } from './complain.ts';
import { type Flags, SETTINGS_HELP, settingsOf, withSettings } from './flags.ts';
import { handOver } from './hand-over.ts';

const EXAMPLES = `
The token is read from the file, or from GPULEDGER_TOKEN. Make one with:
  gpuledger token create --role agent --node gpu-n1
${SETTINGS_HELP}

Examples:
  gpuledger-agent run --api http://ledger:8470 --node gpu-n1 --token-file /etc/gpuledger/token
  gpuledger-agent run --config /etc/gpuledger/agent.conf --poll 1
  gpuledger-agent run --once --json

It needs the host's pid namespace and the right to read other users' /proc (root, or CAP_SYS_PTRACE and
CAP_DAC_READ_SEARCH); "gpuledger-agent doctor" tells whether it has them. Without nvidia-smi it stays up, reports that
nothing is measured, and looks again each minute.

Exit codes: 0 stopped in order, 2 wrong setting or unusable spool, 130 ended at once by a second signal.
With --once: 0 every GPU was measured, 1 something was not, 2 wrong setting.`;

/** The sub-command. */
export function runCommand(): Command {
  return withSettings(new Command('run'))
    .description("watch this node's GPUs and report to the service")
    .option('--once', 'print one reading and end: nothing is sent or stored, no service or token is needed')
    .option('--json', 'with --once: print JSON (docs/AGENT.md)')
    .addHelpText('after', EXAMPLES)
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
    })
    .action(async (flags: Flags) => {
      process.exitCode = await run(flags);
    });
}

async function run(flags: Flags): Promise<number> {
  try {
    const settings = settingsOf(flags);
    if (flags['once'] === true) {
      const { printOnce } = await import('./once.ts');
      return await printOnce(settings, flags['json'] === true);
    }
    if (flags['json'] === true)
      throw new ConfigError('--json goes with --once; the form of the log is --log');
    requireApi(settings);
    handOver(settings);
    const { watch } = await import('./watch.ts');
    return await watch(settings);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    complain(error.message);
    return EXIT_USAGE;
  }
}
