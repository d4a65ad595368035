/** `gpuledger-agent run`: watches this node's GPUs and reports to the service until it is told to stop; `--once` only looks. */
import { Command } from 'commander';
import { createAgent } from '../agent.ts';
import { ConfigError, requireApi } from '../config.ts';
import { AGENT_VERSION } from '../identity.ts';
import { createLog } from '../log.ts';
import { clock, createPorts } from '../ports/real.ts';
import { ShipError } from '../ports.ts';
import { SpoolError } from '../spool-files.ts';
import {
  complain,
  EXIT_USAGE,
  type Flags,
  SETTINGS_HELP,
  settingsOf,
  tokenReader,
  withSettings,
} from './flags.ts';
import { lock } from './lock.ts';
import { printOnce } from './once.ts';

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

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A terminal and a parent that passes signals on may both send the same one. */
const SAME_SIGNAL_MS = 1000;
const EXIT_AT_ONCE = 130;

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
  let release = (): void => undefined;
  try {
    const settings = settingsOf(flags);
    if (flags['once'] === true) return await printOnce(settings, flags['json'] === true);
    if (flags['json'] === true)
      throw new ConfigError('--json goes with --once; the form of the log is --log');
    const api = requireApi(settings);
    const token = tokenReader(settings);
    token();
    release = lock(settings.agent.spoolFolder);
    const stop = stopSignal();
    const log = createLog(settings.log, clock.wallMs, (line) => process.stderr.write(line));
    const agent = createAgent(settings.agent, createPorts({ apiUrl: api, token }), log);
    const { cluster, node } = settings.agent;
    const to = new URL(api).origin;
    log('info', `version ${AGENT_VERSION} watches ${cluster}/${node} and reports to ${to}`, 'agent');
    await agent.run(stop);
    log('info', 'stopping: the last batch goes out', 'agent');
    await agent.stop();
    log('info', 'stopped', 'agent');
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof SpoolError || error instanceof ShipError))
      throw error;
    complain(error.message);
    return EXIT_USAGE;
  } finally {
    release();
  }
}

/** The first signal asks for an orderly end, a second one ends at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  for (const name of SIGNALS)
    process.on(name, () => {
      if (!controller.signal.aborted) {
        firstMs = performance.now();
        controller.abort();
      } else if (performance.now() - firstMs > SAME_SIGNAL_MS) process.exit(EXIT_AT_ONCE);
    });
  return controller.signal;
}
