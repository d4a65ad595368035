import type { ExecutableFact } from '../../contract/batch.ts';
import { executablePath } from '../process.ts';
import { fromMemory } from './memory-executable.ts';
import { FULL, type SignalRule } from './signal.ts';

/** File systems in memory, and folders that everybody may write. */
const IN_MEMORY = ['tmpfs', 'ramfs'];
const TEMPORARY = ['/tmp/', '/var/tmp/', '/dev/shm/', '/dev/mqueue/', '/run/user/', '/run/lock/'];

const isTemporary = (executable: ExecutableFact): boolean =>
  IN_MEMORY.includes(executable.fileSystem ?? '') ||
  TEMPORARY.some((folder) => executablePath(executable).startsWith(folder));

export const temporaryPath: SignalRule = {
  id: 'temporary_path',
  title: 'Executable in memory or where everybody may write',
  source: 'Falco "Execution from /dev/shm", Elastic rules on executables under temporary folders.',
  attack: { before: [], after: [] },
  weight: 8,
  test({ own }) {
    const found = own.find(
      (one) => !fromMemory(one) && one.executable !== null && isTemporary(one.executable),
    );
    return found?.executable
      ? { detail: `Process ${found.pid} runs ${executablePath(found.executable)}.`, strength: FULL }
      : null;
  },
};
