/** What becomes of a wrong command line: one line that says whose help helps, and exit code 2, where commander says 1. */
import type { Command } from 'commander';

const EXIT_USAGE = 2;

/** For a program and every command below it. */
export function endOnWrongUsage(command: Command, path = command.name()): Command {
  command
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
    })
    .configureOutput({
      outputError: (text, write) =>
        write(
          `gpuledger-agent: ${text.replace(/^error: |\.?\n$/g, '').replaceAll('\n', ' ')}. See: ${path} --help\n`,
        ),
    });
  for (const child of command.commands) endOnWrongUsage(child, `${path} ${child.name()}`);
  return command;
}
