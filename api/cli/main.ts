/** `gpuledger`: the program. */
import { CommanderError } from 'commander';
import { EXIT, explain } from './exit.ts';
import { createProgram } from './program.ts';

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  else process.exitCode = explain(error);
}
