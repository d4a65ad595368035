// Does the command line of a process look as its job said? Anybody can write a command line, so it only ever marks.
import { at } from './at.ts';
import type { ObservedProcess } from './cell.ts';
import type { JobDeclares } from './job.ts';
import { baseName, executablePath, sameExecutable } from './process.ts';
import { matchesGlob } from './wildcards.ts';

/** What stands in a command line for what was a secret, as agents write it. */
const REDACTED = '[redacted]';

/**
 * Whether the command lines on the way from a job's root down to a process (`path`, the process last) contradict what
 * the job declared. What cannot be read contradicts nothing, and a title that a program gave itself is no command line.
 */
export function contradictsSaid(path: readonly ObservedProcess[], declares: JobDeclares): boolean {
  const { entrypoint, commandPattern } = declares;
  if (commandPattern !== undefined) {
    const line = commandLineOf(path);
    if (line !== null && !matchesGlob(commandPattern, line, null)) return true;
  }
  if (entrypoint === undefined) return false;
  const lines = path.flatMap((process) => (isTitle(process) ? [] : (process.commandLine ?? [])));
  return lines.length > 0 && !lines.some((line) => beginsWith(line, entrypoint));
}

/** Of the last of a path; where that is a title, of the nearest above it that runs the same program. */
function commandLineOf(path: readonly ObservedProcess[]): string | null {
  const own = path.at(-1);
  const untitled = path.findLast(
    (process) =>
      !isTitle(process) &&
      (process === own ||
        (process.executable !== null &&
          own?.executable &&
          sameExecutable(process.executable, own.executable))),
  );
  return untitled?.commandLine ?? null;
}

/** Such as "ray::Trainer.step": it does not begin with the program, as what was started does. */
function isTitle({ commandLine, executable }: ObservedProcess): boolean {
  if (commandLine === null || executable === null) return false;
  const word = baseName(at(commandLine.split(' ', 1), 0)).replace(/^-/, '');
  const program = baseName(executablePath(executable));
  return word === '' || !(program.startsWith(word) || word.startsWith(program));
}

/** Of a script, the kernel puts its interpreter before it, and at most one argument of that. */
const INTERPRETER_WORDS = 2;

/** Word by word; of the first one the name is enough, and what was a secret may have been anything. */
function beginsWith(line: string, words: readonly string[]): boolean {
  const given = line.split(' ');
  const wanted = words.join(' ').split(' ');
  const beginsAt = (from: number): boolean =>
    wanted.every((word, at) => {
      const own = given[from + at];
      if (own === undefined) return false;
      if (own === word || (at === 0 && baseName(own) === baseName(word))) return true;
      const secret = own.indexOf(REDACTED);
      return secret >= 0 && word.startsWith(own.slice(0, secret));
    });
  for (let from = 0; from <= INTERPRETER_WORDS; from += 1) if (beginsAt(from)) return true;
  return false;
}
