/** `gpuledger-agent doctor`: says in plain words what will and will not be seen on this node. */
import { Command } from 'commander';
import { ConfigError } from '../config.ts';
import { CHECK_STATUSES, type Check } from '../doctor/check.ts';
import { diagnose, exitCodeOf } from '../doctor.ts';
import { AGENT_VERSION } from '../identity.ts';
import { execute } from '../ports/execute.ts';
import { callLocal } from '../ports/local-call.ts';
import { probe } from '../ports/probe.ts';
import { clock, files } from '../ports/real.ts';
import { bytesToText } from '../text.ts';
import { complain, EXIT_USAGE } from './complain.ts';
import { type Flags, SETTINGS_HELP, settingsOf, withSettings } from './flags.ts';
import { lockOwner } from './lock.ts';
import { tokenReader } from './token.ts';

const HELP = `
It reads what "run" with the same settings would read, runs nvidia-smi a few times, and asks the service who it is and who
this token is. It writes and sends nothing. Run it under the agent's account.
${SETTINGS_HELP}

Examples:
  gpuledger-agent doctor --config /etc/gpuledger/agent.conf
  gpuledger-agent doctor --api http://ledger:8470 --node gpu-n1 --token-file /etc/gpuledger/token --json

Exit codes: 0 all is well, 1 warnings or things that could not be told, 2 failures or a wrong setting.`;

const MAX_SENTENCE_CHARS = 2000;

/** The sub-command. */
export function doctorCommand(): Command {
  return withSettings(new Command('doctor'))
    .description('say what will and will not be seen on this node, and how to mend it')
    .option('--json', 'print JSON (docs/AGENT.md)')
    .addHelpText('after', HELP)
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
    })
    .action(async (flags: Flags) => {
      process.exitCode = await doctor(flags);
    });
}

async function doctor(flags: Flags): Promise<number> {
  try {
    const settings = settingsOf(flags);
    const ports = { execute, files, clock };
    const checks = await diagnose({
      settings,
      ports,
      callLocal,
      probe,
      token: tokenReader(settings),
      lockOwner,
    });
    const { cluster, node } = settings.agent;
    const report = {
      version: AGENT_VERSION,
      atMs: clock.wallMs(),
      cluster,
      node,
      exitCode: exitCodeOf(checks),
      checks,
    };
    process.stdout.write(flags['json'] === true ? `${JSON.stringify(report, null, 2)}\n` : describe(checks));
    return report.exitCode;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    complain(error.message);
    return EXIT_USAGE;
  }
}

/** What is escaped already stays as it is. */
const inert = (text: string): string =>
  bytesToText(Buffer.from(text), MAX_SENTENCE_CHARS).text.replaceAll('\\x5c', '\\');

function describe(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ id }) => id.length));
  const lines = checks.flatMap(({ id, status, finding, remedy }) => [
    `${status.padEnd(7)}  ${id.padEnd(width)}  ${inert(finding)}`,
    ...(remedy === null ? [] : [`${' '.repeat(width + 11)}-> ${inert(remedy)}`]),
  ]);
  const counts = CHECK_STATUSES.map(
    (one) => `${checks.filter(({ status }) => status === one).length} ${one}`,
  );
  return `${lines.join('\n')}\n\n${counts.join(', ')}\n`;
}
