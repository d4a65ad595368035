// What programs are called: for telling an interpreter from a program of its own, never for a verdict.
import type { ExecutableFact } from '../../contract/batch.ts';
import type { ObservedProcess } from '../cell.ts';
import type { Policy } from '../policy.ts';
import { baseName, executablePath } from '../process.ts';

/** Run what they are given; which file they are says nothing. A version may follow the name. */
const INTERPRETERS = /^(?:python|pypy|perl|ruby|node|nodejs|java|julia|lua|R|Rscript|php|ray)[\d.]*$/;

/** Whether an executable is an interpreter, a shell or a launcher, by its name. */
export function isInterpreter(executable: Pick<ExecutableFact, 'path'>, policy: Policy): boolean {
  const name = baseName(executablePath(executable));
  return INTERPRETERS.test(name) || policy.launchers.includes(name);
}

/** The words of a command line that retention has not erased. */
export const wordsOf = ({ commandLine }: Pick<ObservedProcess, 'commandLine'>): string[] =>
  (commandLine ?? '').split(' ').filter((word) => word !== '');

/** The file name of a process's executable; its short name where that is not readable. */
export const programOf = ({ executable, comm }: ObservedProcess): string =>
  executable === null ? comm : baseName(executablePath(executable));
