/**
 * Who owns a process, by the text of its /proc/PID/cgroup: the only evidence that a job's own processes cannot shed
 * without root. Agent and service read it by the same rules.
 *
 * Folder names below an owner were written inside that owner, so the outermost owner wins and every pattern is anchored
 * at the root of the hierarchy: `/user.slice/user-2001.slice/…/job_42` is a login session, whatever its user named it.
 */

/**
 * `container`: a container whose manager or pod the path does not name. `systemd`: a service or scope of the system.
 * `user_session`: anything below a user's slice, including what that user runs in rootless containers.
 */
type CgroupKind =
  | 'slurm'
  | 'kubernetes'
  | 'docker'
  | 'podman'
  | 'container'
  | 'pbs'
  | 'lsf'
  | 'oar'
  | 'systemd'
  | 'user_session';

export interface CgroupOwner {
  readonly kind: CgroupKind;
  /**
   * Slurm, PBS, LSF and OAR: the job id (with `sluid`: the SLUID as a decimal number, which is Slurm's DBIndex). Kubernetes: the
   * pod UID with dashes, or the 32 digits of a static pod. Containers: their id. systemd and sessions: the unit's path.
   */
  readonly id: string;
  /** How declarations name it: `slurm:8101`, `slurm-sluid:10143944870846442496`, `kubernetes:<uid>`, `systemd:/system.slice/x.service`. */
  readonly boundary: string;
  /** Slurm: batch, extern, interactive or the step's number. */
  readonly step?: string | null;
  /** Slurm: the task's number within its step. */
  readonly task?: string | null;
  /** Slurm: the node's name where several slurmd share a host. */
  readonly node?: string | null;
  /** The container inside a pod or a session, where the path names it. */
  readonly container?: string | null;
  /** Of the job (Slurm with v1 controllers) or of the session. */
  readonly uid?: number | null;
  /** The login session's number, where the path names one. */
  readonly session?: string | null;
  readonly sluid?: string | null;
}

const MAX_TEXT = 8192;
const MAX_LINES = 64;
const DELETED = ' (deleted)';
const MAX_SLICES = 8;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

// Each pattern sees one folder name, without nested repetition, so none can backtrack beyond its length.
const HEX64 = /^[0-9a-f]{64}$/;
const SLICE = /^[^/]+\.slice$/;
const UNIT = /^[^/]+\.(?:service|scope)$/;
const SLURM_V1_ROOT = /^slurm(?:_(.+))?$/;
const SLURM_V2_SCOPE = /^(?:(.+)_)?slurmstepd\.scope$/;
const UID = /^uid_(\d{1,10})$/;
const JOB = /^job_(\d{1,20})$/;
const STEP = /^step_(.+)$/;
const TASK = /^task_(\d{1,10})$/;
const SESSION = /^session-([^/]+)\.scope$/;
const SLUID = /^s[0-9A-HJKMNP-TV-Z]{13}$/;
const KUBE_ROOT = /^(?:kubelet-)?kubepods(?:\.slice)?$/;
const KUBE_QOS = /^(?:burstable|besteffort|(?:kubelet-)?kubepods-(?:burstable|besteffort)\.slice)$/;
const POD_UID = '[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}';
const POD_PREFIX = '(?:(?:kubelet-)?kubepods-(?:burstable-|besteffort-)?)?';
const POD = new RegExp(`^${POD_PREFIX}pod(${POD_UID})(?:\\.slice(?::([^/]{1,200}))?)?$`);
const CONTAINER = /^(?:([a-z][a-z-]*)[-:])?([0-9a-f]{64})(?:\.scope)?$/;
/** Fargate: the task and a number for each of its containers. */
const FARGATE = /^[0-9a-f]{32}-\d{1,20}$/;
const GARDEN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3,4}(?:[0-9a-f]{8})?$/;
const PBS_ROOT = /^(?:pbs_jobs|pbspro|torque)(\.service)?$/;
const PBS_JOB = /^\d{1,20}(?:\[\d{0,10}\])?\.[^/]{1,253}$/;
/** `/lsf/<cluster>/job.<id>.<pid>.<time>`. */
const LSF_JOB = /^job\.(\d{1,20})(?:\.[^/]*)?$/;
/** OAR 3: `/oar.slice/oar-u<uid>.slice/oar-u<uid>-j<id>.slice/…`; OAR 2: `/oar/<user>_<id>`. */
const OAR_USER = /^oar-u(\d{1,10})\.slice$/;
const OAR_JOB = /^oar-u(\d{1,10})-j(\d{1,20})(?:\.slice)?$/;
const OAR2_JOB = /^[^/]*_(\d{1,20})$/;
const USER_SLICE = /^user-(\d{1,10})\.slice$/;
/** Services that make containers below themselves when they are not told to use systemd. */
const CONTAINER_DAEMON =
  /^(?:containerd|docker|crio|kubelet|k3s|k3s-agent|rke2-server|rke2-agent|garden|snap\.microk8s\.daemon-containerd)\.service$/;
/** Managers by the prefix of their scopes; other prefixes are containers of unknown make. */
const MANAGERS: ReadonlyMap<string, CgroupKind> = new Map([
  ['docker', 'docker'],
  ['libpod', 'podman'],
]);
/** Monitors (conmon) live beside the workload and are not it. */
const MONITOR = /(?:^|-)conmon$/;

/**
 * The owner that /proc/PID/cgroup names, or null where it names none. Any text is accepted; at most 8192 characters of
 * it are read. All lines count, since v1 controllers disagree: a job or container beats a plain unit or session, then
 * the v2 line beats freezer and devices, and those beat the other controllers.
 */
export function cgroupOwner(text: string): CgroupOwner | null {
  const found: { owner: CgroupOwner; rank: number }[] = [];
  for (const line of text.slice(0, MAX_TEXT).split('\n', MAX_LINES)) {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    if (first < 1 || second < 0) continue;
    const hierarchy = line.slice(0, first);
    const controllers = line.slice(first + 1, second);
    if (!/^\d{1,10}$/.test(hierarchy)) continue;
    const unified = hierarchy === '0' && controllers === '';
    const owner = ownerOfPath(line.slice(second + 1), unified);
    if (owner) found.push({ owner, rank: rankOf(owner, controllers, unified) });
  }
  const best = found.reduce<(typeof found)[number] | null>((a, b) => (a && a.rank <= b.rank ? a : b), null);
  if (!best) return null;
  const same = found.map((line) => line.owner).filter((owner) => owner.boundary === best.owner.boundary);
  return same.reduce(completeFrom, best.owner);
}

/** Fills what the better line left open: slurmstepd itself sits in its job's freezer but in its step's devices. */
function completeFrom(owner: CgroupOwner, other: CgroupOwner): CgroupOwner {
  if (owner.kind === 'slurm')
    return {
      ...owner,
      step: owner.step ?? other.step ?? null,
      task: owner.task ?? other.task ?? null,
      uid: owner.uid ?? other.uid ?? null,
    };
  if (owner.kind === 'kubernetes') return { ...owner, container: owner.container ?? other.container ?? null };
  return owner;
}

function rankOf(owner: CgroupOwner, controllers: string, unified: boolean): number {
  const weak = owner.kind === 'systemd' || owner.kind === 'user_session' ? 10 : 0;
  if (unified) return weak;
  return weak + (controllers === 'freezer' ? 1 : controllers === 'devices' ? 2 : 3);
}

function ownerOfPath(raw: string, unified: boolean): CgroupOwner | null {
  const path = raw.endsWith(DELETED) ? raw.slice(0, -DELETED.length) : raw;
  if (!path.startsWith('/')) return null;
  const folders = path.slice(1).split('/');
  // A reader inside a cgroup namespace sees what lies outside as /../..; the slices above may be hidden by it.
  const hidden = folders.findIndex((folder) => folder !== '..');
  if (hidden < 0) return null;
  const parts = folders.slice(hidden);
  const session = sessionOwner(parts);
  if (session) return session;
  return (
    // A pod's own folder is a slice, below which anybody's names may stand, also those of Slurm.
    pod(parts) ??
    (unified ? slurmV2(parts, hidden > 0) : slurmV1(parts)) ??
    pbs(parts) ??
    lsf(parts) ??
    oar(parts) ??
    inDaemon(parts) ??
    container(parts, hidden > 0) ??
    unit(parts)
  );
}

const part = (parts: readonly string[], index: number): string => parts[index] ?? '';

/** Number of slices that the path starts with. */
function slices(parts: readonly string[]): number {
  const count = parts.findIndex((name) => !SLICE.test(name));
  return Math.min(count < 0 ? parts.length : count, MAX_SLICES);
}

function slurmV1(parts: readonly string[]): CgroupOwner | null {
  const root = SLURM_V1_ROOT.exec(part(parts, 0));
  const uid = UID.exec(part(parts, 1))?.[1];
  const job = JOB.exec(part(parts, 2))?.[1];
  if (!root || uid === undefined || job === undefined) return null;
  const step = STEP.exec(part(parts, 3))?.[1] ?? null;
  return {
    kind: 'slurm',
    id: job,
    boundary: `slurm:${job}`,
    step,
    task: TASK.exec(part(parts, 4))?.[1] ?? null,
    node: root[1] ?? null,
    uid: Number(uid),
    sluid: null,
  };
}

function slurmV2(parts: readonly string[], hidden: boolean): CgroupOwner | null {
  const at = slices(parts);
  if (at === 0 && !hidden) return null;
  const scope = SLURM_V2_SCOPE.exec(part(parts, at));
  if (!scope) return null;
  const name = part(parts, at + 1);
  const job = JOB.exec(name)?.[1];
  const index = sluidIndex(name);
  const step = STEP.exec(part(parts, at + 2))?.[1] ?? null;
  const task = part(parts, at + 3) === 'user' ? (TASK.exec(part(parts, at + 4))?.[1] ?? null) : null;
  const common = { kind: 'slurm', step, task, node: scope[1] ?? null, uid: null } as const;
  if (job !== undefined) return { ...common, id: job, boundary: `slurm:${job}`, sluid: null };
  if (index !== null) return { ...common, id: index, boundary: `slurm-sluid:${index}`, sluid: name };
  return null;
}

/** The 64-bit number that a SLUID ("s" and 13 Crockford base-32 characters) spells, in decimal; null if it is none. */
export function sluidIndex(name: string): string | null {
  if (!SLUID.test(name)) return null;
  let value = 0n;
  for (const digit of name.slice(1)) value = value * 32n + BigInt(CROCKFORD.indexOf(digit));
  return value <= MAX_UINT64 ? value.toString() : null;
}

function pbs(parts: readonly string[]): CgroupOwner | null {
  const root = PBS_ROOT.exec(part(parts, 0));
  if (!root) return null;
  const at = root[1] === undefined ? 1 : 2;
  if (at === 2 && part(parts, 1) !== 'jobid') return null;
  const job = part(parts, at);
  return PBS_JOB.test(job) ? { kind: 'pbs', id: job, boundary: `pbs:${job}` } : null;
}

function lsf(parts: readonly string[]): CgroupOwner | null {
  const job = part(parts, 0) === 'lsf' ? LSF_JOB.exec(part(parts, 2))?.[1] : undefined;
  return job === undefined ? null : { kind: 'lsf', id: job, boundary: `lsf:${job}` };
}

function oar(parts: readonly string[]): CgroupOwner | null {
  const owner = (job: string, uid: number | null): CgroupOwner => ({
    kind: 'oar',
    id: job,
    boundary: `oar:${job}`,
    uid,
  });
  if (part(parts, 0) === 'oar') {
    const job = OAR2_JOB.exec(part(parts, 1))?.[1];
    return job === undefined ? null : owner(job, null);
  }
  if (part(parts, 0) !== 'oar.slice') return null;
  const uid = OAR_USER.exec(part(parts, 1))?.[1];
  const [, jobUid, job] = OAR_JOB.exec(part(parts, 2)) ?? [];
  return job !== undefined && uid !== undefined && jobUid === uid ? owner(job, Number(uid)) : null;
}

/** Containers below the service that made them, such as containerd told to use one driver and runc the other. */
function inDaemon(parts: readonly string[]): CgroupOwner | null {
  const at = slices(parts);
  if (at === 0 || !CONTAINER_DAEMON.test(part(parts, at))) return null;
  const below = parts.slice(at + 1);
  return pod(below) ?? container(below, false);
}

function pod(parts: readonly string[]): CgroupOwner | null {
  let at = 0;
  if (/^kubelet(?:\.slice)?$/.test(part(parts, at))) at += 1;
  if (KUBE_ROOT.test(part(parts, at))) at += 1;
  if (KUBE_QOS.test(part(parts, at))) at += 1;
  const match = POD.exec(part(parts, at));
  const uid = match?.[1]?.replaceAll('_', '-');
  if (uid === undefined) return null;
  const inside = CONTAINER.exec(match?.[2] ?? part(parts, at + 1));
  const id = inside && !MONITOR.test(inside[1] ?? '') ? (inside[2] ?? null) : null;
  return { kind: 'kubernetes', id: uid, boundary: `kubernetes:${uid}`, container: id };
}

const owned = (kind: CgroupKind, id: string): CgroupOwner => ({
  kind,
  id,
  boundary: `${kind}:${id}`,
  container: id,
});

function container(parts: readonly string[], hidden: boolean): CgroupOwner | null {
  const root = part(parts, 0);
  const second = part(parts, 1);
  if (root === 'docker') {
    const id = second.endsWith('.scope') ? second.slice(0, -'.scope'.length) : second;
    if (HEX64.test(id)) return owned('docker', id);
  }
  if (root === 'garden' && GARDEN.test(second)) return owned('container', second);
  const task = root === 'ecs' ? parts.slice(1, 3).find((name) => FARGATE.test(name)) : undefined;
  if (task !== undefined) return owned('container', task);
  // A scope in the system's slices, or a folder in a parent that the administrator chose (--cgroup-parent).
  const depth = slices(parts);
  // Amazon's tasks and podman's pods have a folder of their own around their containers.
  const grouped = root === 'ecs' || (root === 'libpod_parent' && HEX64.test(second) && parts.length > 2);
  const at = depth > 0 || hidden ? depth : UNIT.test(root) ? -1 : grouped ? 2 : 1;
  const match = at < 0 ? null : CONTAINER.exec(part(parts, at));
  const id = match?.[2];
  if (!match || id === undefined) return null;
  const prefix = match[1] ?? '';
  return MONITOR.test(prefix) ? null : owned(MANAGERS.get(prefix) ?? 'container', id);
}

function sessionOwner(parts: readonly string[]): CgroupOwner | null {
  const at = part(parts, 0) === 'user.slice' ? 1 : 0;
  const uid = USER_SLICE.exec(part(parts, at))?.[1];
  if (uid === undefined) return null;
  // The unit nearest to the slice that is not the user's own manager; the path begins with what only root can name.
  const unitAt = parts.findIndex((name, index) => index > at && UNIT.test(name) && !name.startsWith('user@'));
  const path = `/${parts.slice(0, unitAt < 0 ? at + 2 : unitAt + 1).join('/')}`;
  const scope = CONTAINER.exec(part(parts, unitAt));
  const inside = scope && !MONITOR.test(scope[1] ?? '') ? (scope[2] ?? null) : null;
  const session = SESSION.exec(part(parts, at + 1))?.[1] ?? null;
  const boundary = `systemd:${path}`;
  return { kind: 'user_session', id: path, boundary, uid: Number(uid), session, container: inside };
}

function unit(parts: readonly string[]): CgroupOwner | null {
  const at = slices(parts);
  if (!UNIT.test(part(parts, at))) return null;
  const path = `/${parts.slice(0, at + 1).join('/')}`;
  return { kind: 'systemd', id: path, boundary: `systemd:${path}` };
}
