/** May the agent see other people's processes, and all of them? */
import { cgroupOwner } from '../../api/contract/cgroup.ts';
import type { Reading } from '../reading.ts';
import { FIRST_PID_NAMESPACE } from '../sources/proc-view.ts';
import { attempt } from '../sources/procfs.ts';
import { type Check, found, listed, type Patient, readLink, readText } from './check.ts';

const STATUS_BYTES = 16 * 1024;
const MOUNTS_BYTES = 4 * 1024 * 1024;
const CGROUP_BYTES = 64 * 1024;
const MAX_PROCESSES = 4096;
/** Processes of other accounts that are tried, in all and of one account: one alone may be specially protected. */
const MAX_TRIED = 16;
const MAX_TRIED_OF_ACCOUNT = 4;
/** Numbers of capabilities in the kernel's bit sets. */
const CAPABILITIES = {
  CAP_DAC_OVERRIDE: 1,
  CAP_DAC_READ_SEARCH: 2,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
} as const;
/** Link of the machine's first control group namespace: a constant of the kernel. */
const FIRST_CGROUP_NAMESPACE = 'cgroup:[4026531835]';

export const RIGHTS_REMEDY =
  'Run the agent as root, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (docs/deploy/gpuledger-agent.service).';

interface Rights {
  readonly ptrace: boolean;
  readonly readAll: boolean;
  readonly names: readonly string[];
}

/** Effective capabilities by the text of a `status` file; null where it has none. */
export function capabilitiesOf(status: string): Rights | null {
  const mask = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1];
  if (mask === undefined) return null;
  const bits = BigInt(`0x${mask}`);
  const names = Object.entries(CAPABILITIES).flatMap(([name, bit]) =>
    (bits >> BigInt(bit)) & 1n ? [name] : [],
  );
  const has = (name: string): boolean => names.includes(name);
  return {
    ptrace: has('CAP_SYS_PTRACE'),
    readAll: has('CAP_DAC_READ_SEARCH') || has('CAP_DAC_OVERRIDE'),
    names,
  };
}

export function checkRights(patient: Patient): Check {
  const rights = capabilitiesOf(readText(patient, '/proc/self/status', STATUS_BYTES) ?? '');
  if (rights === null)
    return found('rights', 'unknown', 'The rights of this process cannot be read.', RIGHTS_REMEDY);
  const held = rights.names.length === 0 ? 'none of the capabilities asked for' : rights.names.join(', ');
  const missing = [
    ...(rights.ptrace ? [] : ['executables and environments']),
    ...(rights.readAll ? [] : ['environments and descriptors']),
  ];
  const account = `This account (uid ${patient.probe.uid}) has ${held}`;
  if (missing.length === 0) return found('rights', 'ok', `${account}.`);
  return found(
    'rights',
    'fail',
    `${account}: ${[...new Set(missing)].join(', ')} of other users' processes stay hidden.`,
    RIGHTS_REMEDY,
  );
}

interface Other {
  readonly pid: number;
  readonly uid: number;
}

/** Living processes of other accounts, a few of each, and all pids. */
function lookAround(patient: Patient): { others: readonly Other[]; pids: readonly number[] } {
  const root = patient.settings.agent.procRoot;
  let names: readonly string[] = [];
  try {
    names = patient.ports.files.list(root);
  } catch {
    // No /proc at all: the other checks say so.
  }
  const pids = names
    .filter((name) => /^[1-9]\d{0,9}$/.test(name))
    .map(Number)
    .slice(0, MAX_PROCESSES);
  const others: Other[] = [];
  for (const pid of pids) {
    if (others.length >= MAX_TRIED) break;
    const status = readText(patient, `${root}/${pid}/status`, STATUS_BYTES);
    const uid = Number(/^Uid:\s*(\d{1,10})\s/m.exec(status ?? '')?.[1] ?? Number.NaN);
    // Without memory of its own it is a kernel thread or a zombie, which have no executable to read.
    const lives = status !== null && /^VmSize:/m.test(status);
    if (!lives || Number.isNaN(uid) || uid === patient.probe.uid) continue;
    if (others.filter((other) => other.uid === uid).length < MAX_TRIED_OF_ACCOUNT) others.push({ pid, uid });
  }
  return { others, pids };
}

export function checkOtherUsers(patient: Patient): Check {
  const { others, pids } = lookAround(patient);
  const root = patient.settings.agent.procRoot;
  if (pids.length === 0)
    return found(
      'other-users',
      'fail',
      `${root} shows no process.`,
      'Mount the proc file system of the host, and name it with --proc.',
    );
  if (others.length === 0)
    return found(
      'other-users',
      'ok',
      `None of the ${pids.length} processes belongs to another account now, so none was tried.`,
    );
  const closed = others.flatMap((other) => {
    const parts = hiddenParts(patient, other.pid);
    return parts.length === 0 ? [] : [`pid ${other.pid} of uid ${other.uid} (${parts.join(', ')})`];
  });
  const tried = `${others.length} processes of other accounts that were tried`;
  if (closed.length === 0)
    return found('other-users', 'ok', `All of ${tried} can be read: executable, environment, descriptors.`);
  return found(
    'other-users',
    closed.length === others.length ? 'fail' : 'warn',
    `Of ${tried} ${closed.length} cannot be read: ${listed(closed)}.`,
    closed.length === others.length
      ? RIGHTS_REMEDY
      : 'Look what protects these: a security module, or rights that the agent has not.',
  );
}

function hiddenParts({ settings, ports }: Patient, pid: number): string[] {
  const folder = `${settings.agent.procRoot}/${pid}`;
  return Object.entries({
    executable: () => ports.files.readLink(`${folder}/exe`),
    environment: () => ports.files.read(`${folder}/environ`, 1),
    descriptors: () => ports.files.list(`${folder}/fd`),
    namespaces: () => ports.files.readLink(`${folder}/ns/net`),
  }).flatMap(([part, read]) => (works(read) ? [] : [part]));
}

/** What is not there cannot be hidden: the process has just ended. */
function works(action: () => unknown): boolean {
  const part = attempt(action);
  return part.ok || part.gone;
}

export function checkPidNamespace(patient: Patient): Check {
  const root = patient.settings.agent.procRoot;
  const link =
    readLink(patient, `${root}/1/ns/pid`) ??
    (root === '/proc' ? readLink(patient, '/proc/self/ns/pid') : null);
  // Kernel threads live in the first namespace only, and everybody may read their names.
  const kernel = readText(patient, `${root}/2/comm`, 64)?.trim() === 'kthreadd';
  if (link === FIRST_PID_NAMESPACE || kernel)
    return found('pid-namespace', 'ok', `${root} shows the processes of the whole machine.`);
  if (link === null)
    return found(
      'pid-namespace',
      'unknown',
      `It cannot be told whether ${root} shows the whole machine.`,
      'Run the doctor as root.',
    );
  const own = /^NSpid:\s*(.+)$/m.exec(readText(patient, '/proc/self/status', STATUS_BYTES) ?? '')?.[1] ?? '?';
  return found(
    'pid-namespace',
    'fail',
    `${root} shows a container's processes only (here this process is pid ${own.replace(/\s+/g, ' in ')}): pids of nvidia-smi mean others.`,
    "Give the agent the host's pid namespace: --pid=host, or hostPID: true.",
  );
}

/** `reading`: null where nvidia-smi gave none. */
export function checkGpuPids(patient: Patient, reading: Reading | null): Check {
  const root = patient.settings.agent.procRoot;
  if (reading === null) return found('gpu-pids', 'unknown', 'Without a reading no pids can be compared.');
  const pids = [
    ...new Set(reading.devices.flatMap((one) => (one.ok ? one.processes.map(({ pid }) => pid) : []))),
  ];
  if (pids.length === 0)
    return found('gpu-pids', 'ok', 'No process holds a GPU now, so there was nothing to compare.');
  const absent = pids.filter((pid) => readText(patient, `${root}/${pid}/stat`, 64) === null).map(String);
  if (absent.length === 0)
    return found('gpu-pids', 'ok', `All ${pids.length} processes that nvidia-smi names are in ${root}.`);
  return found(
    'gpu-pids',
    'fail',
    `nvidia-smi names ${pids.length} processes and ${root} does not show ${absent.length} of them: ${listed(absent)}.`,
    "Give the agent the host's pid namespace; where it has that, a process is hiding or has just ended.",
  );
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly options: string;
}

/** Mount points, types and super options of a `mountinfo` file. */
export function mountsOf(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ', 2);
    const point = before.split(' ')[4];
    const [type = '', , options = ''] = after?.split(' ') ?? [];
    return point === undefined || after === undefined ? [] : [{ point, type, options }];
  });
}

function readMounts(patient: Patient): Mount[] {
  return mountsOf(readText(patient, '/proc/self/mountinfo', MOUNTS_BYTES) ?? '');
}

export function checkHidepid(patient: Patient): Check {
  const root = patient.settings.agent.procRoot;
  // Where several lie on one another the last one is seen.
  const mount = readMounts(patient).findLast(
    (one) => one.type === 'proc' && one.point === resolved(patient, root),
  );
  if (mount === undefined)
    return found(
      'hidepid',
      'unknown',
      `${root} is not the mount point of a proc file system.`,
      'Name that of the host with --proc.',
    );
  const hidden = /(?:^|,)hidepid=(\w+)/.exec(mount.options)?.[1] ?? 'off';
  if (/(?:^|,)subset=pid/.test(mount.options))
    return found(
      'hidepid',
      'fail',
      `${root} is mounted with subset=pid: boot id and boot time are hidden.`,
      'Mount it without that option for the agent (systemd: no ProcSubset=pid).',
    );
  if (hidden === 'off' || hidden === '0')
    return found('hidepid', 'ok', `${root} is mounted without hidepid.`);
  const rights = capabilitiesOf(readText(patient, '/proc/self/status', STATUS_BYTES) ?? '');
  if (rights?.ptrace === true)
    return found('hidepid', 'ok', `${root} is mounted with hidepid=${hidden}, which CAP_SYS_PTRACE passes.`);
  return found(
    'hidepid',
    'fail',
    `${root} is mounted with hidepid=${hidden}: processes of other accounts are hidden from this one.`,
    RIGHTS_REMEDY,
  );
}

function resolved({ probe }: Patient, path: string): string {
  try {
    return probe.realPath(path);
  } catch {
    return path;
  }
}

export function checkCgroups(patient: Patient): Check {
  const mounts = readMounts(patient);
  const v1 = mounts.some(({ type }) => type === 'cgroup');
  const v2 = mounts.some(({ type }) => type === 'cgroup2');
  const versions = [...(v1 ? ['v1'] : []), ...(v2 ? ['v2'] : [])].join(' and ');
  const version = versions === '' ? 'of a version that no mount shows' : versions;
  const namespace = readLink(patient, '/proc/self/ns/cgroup');
  if (namespace !== null && namespace !== FIRST_CGROUP_NAMESPACE)
    return found(
      'cgroups',
      'fail',
      `Control groups are ${version}, seen from a container's own namespace: paths are cut, and show no job.`,
      "Give the agent the host's: --cgroupns=host, or in Kubernetes a privileged container.",
    );
  const root = patient.settings.agent.procRoot;
  const kinds = new Map<string, Set<string>>();
  for (const pid of lookAround(patient).pids) {
    const owner = cgroupOwner(readText(patient, `${root}/${pid}/cgroup`, CGROUP_BYTES) ?? '');
    if (owner === null || owner.kind === 'systemd' || owner.kind === 'user_session') continue;
    const own = kinds.get(owner.kind) ?? new Set<string>();
    kinds.set(owner.kind, own.add(owner.boundary));
  }
  const seen = [...kinds].map(([kind, jobs]) => `${jobs.size} of ${kind}`).join(', ');
  return found(
    'cgroups',
    'ok',
    `Control groups are ${version}; jobs and containers that show in them now: ${seen === '' ? 'none' : seen}.`,
  );
}
