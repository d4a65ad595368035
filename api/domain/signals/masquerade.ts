import type { ObservedProcess } from '../cell.ts';
import { baseName } from '../process.ts';
import { SESSION_HOSTS } from '../source.ts';
import { isInterpreter, programOf, wordsOf } from './programs.ts';
import { FULL, type SignalFacts, type SignalRule } from './signal.ts';

/** Names under which something would pass unseen: kernel threads, and services of every node. */
const KERNEL_THREAD =
  /^\[[^\]\s]+\]$|^(?:kworker|ksoftirqd|migration|watchdog|cpuhp)\/\S|^(?:kthreadd|kswapd\d|rcu_\w+)$/;
const SERVICES = [
  ...SESSION_HOSTS,
  'nvidia-persistenced',
  'nvidia-smi',
  'dcgmi',
  'nv-hostengine',
  'Xorg',
  'dbus-daemon',
];
const COMM_CHARS = 15;

export const masquerade: SignalRule = {
  id: 'masquerade',
  title: 'Calls itself by the name of another program',
  source:
    'Elastic rules on process names against executables; a title of its own (setproctitle) is common and is not meant.',
  attack: { before: ['T1036', 'T1036.004', 'T1036.005', 'T1036.011'], after: [] },
  weight: 8,
  test(facts) {
    for (const process of facts.own) {
      const name = nameBorrowed(process, facts);
      // The name in its arguments may be erased later; the kernel's short one stays.
      if (name !== null)
        return { detail: `${programOf(process)} (${process.pid}) calls itself ${name}.`, strength: FULL };
    }
    return null;
  },
};

function nameBorrowed(process: ObservedProcess, { declared, policy }: SignalFacts): string | null {
  if (process.executable === null) return null;
  const program = programOf(process);
  const own = [program, program.slice(0, COMM_CHARS)];
  const others = [
    ...SERVICES,
    ...declared
      .filter(({ executable }) => executable !== null && !isInterpreter(executable, policy))
      .map(programOf),
  ];
  const [first = ''] = wordsOf(process);
  for (const [name, what] of [
    [process.comm, `"${process.comm}" to the kernel`],
    [first.startsWith('[') ? first : baseName(first), 'something else in its arguments'],
  ] as const) {
    if (name === '' || own.includes(name)) continue;
    if (KERNEL_THREAD.test(name)) return `as a thread of the kernel does: ${what}`;
    if (others.some((other) => name === other || name === other.slice(0, COMM_CHARS))) return what;
  }
  return null;
}
