import type { ObservedProcess } from '../cell.ts';
import { isDeclared } from '../fit.ts';
import { baseName, executablePath, sameExecutable } from '../process.ts';
import { isInterpreter } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

export const ownExecutable: SignalRule = {
  id: 'own_executable',
  title: 'A program that no declared job runs',
  source: 'Allow-listing by file identity; image drift ("drop and execute new binary") in Falco\'s rules.',
  attack: { before: [], after: [] },
  weight: 10,
  test({ own, declared, jobs, policy }) {
    const known = ({ executable }: ObservedProcess): boolean =>
      executable === null ||
      isInterpreter(executable, policy) ||
      jobs.some((job) => isDeclared(executable, job)) ||
      declared.some((other) => other.executable !== null && sameExecutable(other.executable, executable));
    const found = own.find((process) => !known(process))?.executable ?? null;
    if (found === null) return null;
    return {
      detail: `${baseName(executablePath(found))} is run by no declared job of this node.`,
      strength: FULL,
    };
  },
};
