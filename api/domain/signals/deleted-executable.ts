import { fromMemory } from './memory-executable.ts';
import { programOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

export const deletedExecutable: SignalRule = {
  id: 'deleted_executable',
  title: 'Executable removed while it ran',
  source: 'osquery-defense-kit (on_disk), Elastic; an upgrade of a package does the same.',
  attack: { before: ['T1564'], after: [] },
  weight: 4,
  test({ own }) {
    const found = own.find((process) => process.executable?.deleted === true && !fromMemory(process));
    return found === undefined
      ? null
      : {
          detail: `${programOf(found)} (${found.pid}) was removed from its folder while it ran.`,
          strength: FULL,
        };
  },
};
