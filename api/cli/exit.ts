/** How commands end. */
import { ConfigError } from '../config.ts';
import { ServiceError } from '../services/errors.ts';
import { StoreError } from '../store/errors.ts';
import { note, visible } from './output.ts';

/** 0 done · 1 it failed, or differences were found · 2 the command itself was wrong. `run` passes its command's code on. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;
export const EXIT_HELP = '\nExit codes: 0 done, 1 failed, 2 wrong usage.';

/** Something that a person can put right. Printed as one line, with its remedy, never with a stack. */
export class CliError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

const fail = (message: string, code: number): number => {
  note(`gpuledger: ${visible(message)}`);
  return code;
};

/** Says what went wrong and returns the exit code. */
export function explain(error: unknown): number {
  if (error instanceof CliError) return fail(error.message, error.exitCode);
  if (error instanceof ConfigError) return fail(error.message, EXIT.usage);
  if (error instanceof ServiceError) return fail(error.message, EXIT.failed);
  if (error instanceof StoreError) return fail(`${error.message}. ${error.remedy}`, EXIT.failed);
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
    return fail(`the disk is full (${error.message}). Make room there`, EXIT.failed);
  if (process.env['GPULEDGER_DEBUG']) note(error instanceof Error ? (error.stack ?? '') : String(error));
  const text = error instanceof Error ? error.message : String(error);
  return fail(`unexpected: ${text} (GPULEDGER_DEBUG=1 shows where)`, EXIT.failed);
}
