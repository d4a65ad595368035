// Where undeclared use comes from: the root of its lineage, and the stable id of the finding that it makes.
import type { ObservedProcess, ProcessId } from './cell.ts';
import { isDeclared } from './fit.ts';
import type { Job } from './job.ts';
import { baseName, executablePath, lineageOf, sameExecutable } from './process.ts';
import type { Judge, NodeFacts } from './verdict.ts';

/** Programs that start things on behalf of many: a lineage is not followed into them. */
export const SESSION_HOSTS: readonly string[] = [
  'init',
  'systemd',
  'sshd',
  'sshd-session',
  'login',
  'cron',
  'crond',
  'atd',
  'tmux',
  'tmux: server',
  'screen',
  'dockerd',
  'containerd',
  'containerd-shim-runc-v2',
  'conmon',
  'slurmd',
  'slurmstepd',
  'kubelet',
];

/**
 * The highest ancestor that is still part of the same undeclared context: same kernel boundary, same account, same jobs
 * in question, and neither a service that hosts others' sessions nor, inside a job, what the job itself declared. So a
 * program that one shell starts again and again is one source. `inside` is the job that the use is foreign to.
 *
 * Where no kernel boundary says what belongs together, everything on the node has the same context; there only shells,
 * launchers and the same program are followed, or two strangers with one distant ancestor would be one source.
 */
export function rootOf(facts: NodeFacts, judge: Judge, id: ProcessId, inside: Job | null): ProcessId {
  const process = facts.processes.get(id);
  if (process === undefined) return id;
  const context = contextOf(judge, process);
  const bounded = judge.tiesOf(id).owner !== null;
  let root = process;
  for (const ancestor of lineageOf(process, facts.processes)) {
    if (ancestor === process) {
      if (isJobRoot(ancestor, facts, judge)) break;
      continue;
    }
    if (ancestor.pid <= 1 || hostsSessions(ancestor) || contextOf(judge, ancestor) !== context) break;
    if (!bounded && !startsPrograms(ancestor, facts) && !runsTheSame(ancestor, process)) break;
    if (inside !== null && ancestor.executable !== null && isDeclared(ancestor.executable, inside)) break;
    root = ancestor;
    if (isJobRoot(ancestor, facts, judge)) break;
  }
  return root.id;
}

function contextOf(judge: Judge, process: ObservedProcess): string {
  const { owner, ties } = judge.tiesOf(process.id);
  const jobs = ties.find((tie) => tie.evidence !== 'claim')?.jobs.map((job) => job.id) ?? [];
  return JSON.stringify([owner?.boundary ?? process.cgroup, process.uid, jobs]);
}

function isJobRoot(process: ObservedProcess, facts: NodeFacts, judge: Judge): boolean {
  return judge.tiesOf(process.id).ties.some((tie) =>
    tie.jobs.some(({ declares: { root } }) => {
      if (root === null || root.node !== facts.node || root.bootId !== process.bootId) return false;
      return root.pid === process.pid && root.startTicks === process.startTicks;
    }),
  );
}

function hostsSessions(process: ObservedProcess): boolean {
  const { executable, comm } = process;
  return SESSION_HOSTS.includes(executable === null ? comm : baseName(executablePath(executable)));
}

const startsPrograms = ({ executable, comm }: ObservedProcess, { policy }: NodeFacts): boolean =>
  policy.launchers.includes(executable === null ? comm : baseName(executablePath(executable)));

const runsTheSame = (a: ObservedProcess, b: ObservedProcess): boolean =>
  a.executable !== null && b.executable !== null && sameExecutable(a.executable, b.executable);

/** `f_` and 16 hexadecimal digits: the same source always gets the same id. Source: a process, or a device's UUID. */
export function findingId(kind: string, cluster: string, node: string, source: string): string {
  return `f_${fnv1a64(JSON.stringify([kind, cluster, node, source]))}`;
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** FNV-1a, 64 bits, over UTF-16 code units. Not for secrets: it only gives short names. */
function fnv1a64(text: string): string {
  let hash = FNV_OFFSET;
  for (let at = 0; at < text.length; at += 1)
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(at))) * FNV_PRIME);
  return hash.toString(16).padStart(16, '0');
}
