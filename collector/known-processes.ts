/** What the looks at devices and control groups may ask of the process table, and tell it. */
import { BATCH_LIMITS } from '../api/contract/batch.ts';
import type { KnownProcesses } from './hidden-processes.ts';
import type { ProcessRegistry } from './process-registry.ts';
import { parseCgroup } from './sources/procfs.ts';
import { bytesToText } from './text.ts';

export function knownProcesses(registry: ProcessRegistry): KnownProcesses {
  return {
    keyOf: (pid) => registry.living(pid)?.fact.key ?? null,
    adopt: (pid, atMs) => registry.adopt(pid, atMs, true)?.fact.key ?? null,
    listed: () => registry.listed().map(({ fact }) => fact),
    learn(key, { cgroup, uid, comm, executable }) {
      const record = registry.all().find(({ fact }) => fact.key === key);
      if (record === undefined || record.fact.startTicks !== null) return;
      const { fact } = record;
      if (cgroup !== undefined) fact.cgroup = parseCgroup(Buffer.from(cgroup));
      if (uid !== undefined) fact.uid = uid;
      if (comm !== undefined) fact.comm = bytesToText(Buffer.from(comm), BATCH_LIMITS.nameChars).text;
      if (executable?.ok) fact.executable = executable.value;
      record.dirty = true;
    },
  };
}
