import type { ObservedProcess } from '../cell.ts';
import { isDeclared } from '../fit.ts';
import { baseName, executablePath, sameExecutable } from '../process.ts';
import { isInterpreter, programOf } from './programs.ts';
import { FULL, type SignalFacts, type SignalRule } from './signal.ts';

export const jobCopy: SignalRule = {
  id: 'job_copy',
  title: "A copy of a declared job's program, elsewhere",
  source: 'A declared name, or the same arguments, under another file: agents hash no executables.',
  attack: { before: ['T1036.005'], after: [] },
  weight: 6,
  test(facts) {
    const found = facts.own.find((process) => isCopy(process, facts));
    return found === undefined
      ? null
      : {
          detail: `${programOf(found)} (${found.pid}) is another file than the job's of that name.`,
          strength: FULL,
        };
  },
};

function isCopy(process: ObservedProcess, { declared, jobs, policy }: SignalFacts): boolean {
  const { executable } = process;
  if (executable === null) return false;
  const elsewhere = declared.filter(
    (other) => other.executable !== null && !sameExecutable(other.executable, executable),
  );
  const name = baseName(executablePath(executable));
  if (
    elsewhere.some(
      (other) => process.argumentsDigest !== null && other.argumentsDigest === process.argumentsDigest,
    )
  )
    return true;
  if (isInterpreter(executable, policy)) return false;
  return (
    elsewhere.some((other) => programOf(other) === name) ||
    jobs.some(
      (job) =>
        !isDeclared(executable, job) && job.declares.executables.some((path) => baseName(path) === name),
    )
  );
}
