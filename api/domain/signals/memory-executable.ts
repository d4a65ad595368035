import type { ObservedProcess } from '../cell.ts';
import { FULL, type SignalRule } from './signal.ts';

export const fromMemory = ({ executable }: ObservedProcess): boolean =>
  executable !== null && (executable.fileSystem === 'memfd' || executable.path.startsWith('/memfd:'));

export const memoryExecutable: SignalRule = {
  id: 'memory_executable',
  title: 'Executable that was never in a folder',
  source: 'Falco "Fileless execution via memfd_create", Elastic memfd rules.',
  attack: { before: ['T1620'], after: [] },
  weight: 8,
  test({ own }) {
    const found = own.find(fromMemory);
    return found === undefined
      ? null
      : { detail: `Process ${found.pid} runs an executable from memory (memfd).`, strength: FULL };
  },
};
