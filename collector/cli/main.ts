/** `gpuledger-agent`: the program. */
import { Command } from 'commander';
import { AGENT_VERSION } from '../identity.ts';
import { doctorCommand } from './doctor.ts';
import { inspectCommand } from './inspect.ts';
import { runCommand } from './run.ts';
import { endOnWrongUsage } from './usage.ts';

const EXAMPLES = `
Examples:
  gpuledger-agent run --api http://ledger:8470 --node gpu-n1 --token-file /etc/gpuledger/token
  gpuledger-agent doctor --config /etc/gpuledger/agent.conf
  nvidia-smi -q -x | gpuledger-agent inspect xml -`;

const program = new Command('gpuledger-agent')
  .description('Measures who uses the GPUs of this node, and reports it to a gpuledger service.')
  .version(AGENT_VERSION)
  .addCommand(runCommand())
  .addCommand(doctorCommand())
  .addCommand(inspectCommand())
  .addHelpText('after', EXAMPLES);

await endOnWrongUsage(program).parseAsync();
