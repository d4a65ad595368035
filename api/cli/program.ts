/** The commands of `gpuledger`, one file each. */
import { Command } from 'commander';
import { VERSION } from '../version.ts';
import { EXIT_HELP } from './exit.ts';
import { explainCommand } from './explain.ts';
import { findingsCommand } from './findings.ts';
import { fleetCommand } from './fleet.ts';
import { withJobReading } from './job-reading.ts';
import { jobsCommand } from './jobs.ts';
import { mappingCommand } from './mapping.ts';
import { policyCommand } from './policy.ts';
import { ratesCommand } from './rates.ts';
import { reportCommand } from './report.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { signInCommand } from './sign-in.ts';
import { sourcesCommand } from './sources.ts';
import { startCommand } from './start.ts';
import { tokenCommand } from './token.ts';
import { verifyCommand } from './verify.ts';

/** Wrong usage ends with 2, where commander would say 1, in a line that says whose help helps. */
function throwUsage(command: Command, path = command.name()): Command {
  command.exitOverride().configureOutput({
    outputError: (text, write) =>
      write(
        `gpuledger: ${text.replace(/^error: |\.?\n$/g, '').replaceAll('\n', ' ')}. See: ${path} --help\n`,
      ),
  });
  for (const child of command.commands) throwUsage(child, `${path} ${child.name()}`);
  return command;
}

export function createProgram(): Command {
  const program = new Command('gpuledger')
    .description('Every GPU-second of a fleet, in exactly one place of one ledger.')
    .version(VERSION)
    .enablePositionalOptions()
    .addCommand(startCommand())
    .addCommand(serveCommand())
    .addCommand(runCommand())
    .addCommand(withJobReading(jobsCommand()))
    .addCommand(findingsCommand())
    .addCommand(reportCommand())
    .addCommand(ratesCommand())
    .addCommand(fleetCommand())
    .addCommand(mappingCommand())
    .addCommand(policyCommand())
    .addCommand(sourcesCommand())
    .addCommand(tokenCommand())
    .addCommand(signInCommand())
    .addCommand(verifyCommand())
    .addCommand(explainCommand())
    .addHelpText(
      'after',
      `
Examples:
  gpuledger start
  gpuledger run --account research --gpus 1 -- python train.py
  gpuledger findings list --running
  gpuledger report --month 2026-10
${EXIT_HELP}`,
    );
  return throwUsage(program);
}
