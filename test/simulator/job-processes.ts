/** The process trees of the simulated site's jobs: what slurmstepd or containerd starts on every node of a job. */
import { buildLoad } from './load-shapes.ts';
import type { DeviceUse, SimProcess } from './model.ts';
import { addProcess, HOST_NETWORK } from './model.ts';
import type { Random } from './random.ts';
import { buildProcess, type SiteNode } from './site-nodes.ts';
import type { SimJob } from './workload.ts';

/** Pids of a node, ascending, none twice. */
export interface Pids {
  next(node: SiteNode): number;
}

const FIRST_PID = 20_000;
export function createPids(random: Random): Pids {
  const last = new Map<string, number>();
  return {
    next: (node) => {
      const pid = (last.get(node.name) ?? FIRST_PID) + random.integer(1, 37);
      last.set(node.name, pid);
      return pid;
    },
  };
}

/** From the start of a process to its first context on a device. */
const WARM_UP_MS = 45_000;
const NFS = '0:52';

export interface JobTree {
  /** The process on the first node under which everything of the job lives there. */
  readonly root: SimProcess;
  readonly workers: readonly SimProcess[];
}

/** Adds the processes of a job to its nodes. Workers end a moment before the job does; `workersEndMs` overrides. */
export function startJob(random: Random, pids: Pids, job: SimJob, workersEndMs = job.endMs - 2000): JobTree {
  const trees = job.placements.map((placement, rank) =>
    job.source === 'slurm'
      ? startSlurm(random, pids, job, placement.node, placement.devices, rank, workersEndMs)
      : startPod(random, pids, job, placement.node, placement.devices, workersEndMs),
  );
  const first = trees[0];
  if (first === undefined) throw new RangeError('a job needs a placement');
  return { root: first.root, workers: trees.flatMap((tree) => tree.workers) };
}

export const slurmCgroup = (jobId: string, step: string): string =>
  `/system.slice/slurmstepd.scope/job_${jobId}/step_${step}/user/task_0`;

export const slurmEnvironment = (job: SimJob): string[] => [
  `SLURM_JOB_ID=${job.externalId}`,
  `SLURM_JOBID=${job.externalId}`,
  'SLURM_STEP_ID=0',
  'SLURM_CLUSTER_NAME=site',
  `SLURM_JOB_ACCOUNT=${job.person.account}`,
  `USER=${job.person.name}`,
];

function startSlurm(
  random: Random,
  pids: Pids,
  job: SimJob,
  node: SiteNode,
  devices: readonly number[],
  rank: number,
  workersEndMs: number,
): JobTree {
  const { startMs, endMs, person, externalId } = job;
  const cover = { job: externalId, toMs: job.endMs };
  const environ = slurmEnvironment(job);
  const step = rank === 0 ? 'batch' : '0';
  const stepd = buildProcess({
    ...{
      pid: pids.next(node),
      ppid: 1,
      startMs: startMs + 120,
      endMs,
      uid: 0,
      exePath: '/usr/sbin/slurmstepd',
    },
    argv: [`slurmstepd: [${externalId}.${step}]`],
    cgroup: `/system.slice/slurmstepd.scope/job_${externalId}/step_${step}/slurm`,
  });
  addProcess(node, stepd);
  const task = {
    ...{ uid: person.uid, environ, cover, cgroup: slurmCgroup(externalId, step) },
    exeDevice: NFS,
  };
  let root = stepd;
  if (rank === 0) {
    root = buildProcess({
      ...{ ...task, pid: pids.next(node), ppid: stepd.pid, startMs: startMs + 400, endMs: endMs - 500 },
      ...{ exePath: '/usr/bin/bash', exeDevice: '259:2' },
      argv: ['/bin/bash', `/var/spool/slurmd/job${externalId.padStart(5, '0')}/slurm_script`],
    });
    addProcess(node, root);
  }
  const several = devices.length > 1;
  let parent = root;
  if (several) {
    parent = buildProcess({
      ...{ ...task, pid: pids.next(node), ppid: root.pid, startMs: startMs + 900, endMs: workersEndMs + 400 },
      exePath: job.executable,
      argv: [
        job.executable,
        '-m',
        'torch.distributed.run',
        `--nproc-per-node=${devices.length}`,
        ...job.argv.slice(1),
      ],
    });
    addProcess(node, parent);
  }
  const workers = devices.map((device, local) =>
    buildProcess({
      ...{ ...task, pid: pids.next(node), ppid: parent.pid, endMs: workersEndMs + local },
      ...{ startMs: startMs + 2500 + local * 35, exePath: job.executable, argv: job.argv },
      environ: [...environ, `LOCAL_RANK=${local}`],
      uses: [useOf(random, job, device, workersEndMs + local)],
    }),
  );
  for (const worker of workers) addProcess(node, worker);
  return { root, workers };
}

function startPod(
  random: Random,
  pids: Pids,
  job: SimJob,
  node: SiteNode,
  devices: readonly number[],
  workersEndMs: number,
): JobTree {
  const { startMs, endMs, person, externalId } = job;
  const container = random.hex(64);
  const pod = externalId.replaceAll('-', '_');
  const netNamespace = HOST_NETWORK + random.integer(1000, 900_000);
  const shim = buildProcess({
    ...{ pid: pids.next(node), ppid: 1, startMs: startMs + 200, endMs, uid: 0 },
    exePath: '/usr/bin/containerd-shim-runc-v2',
    argv: ['/usr/bin/containerd-shim-runc-v2', '-namespace', 'k8s.io', '-id', container],
    cgroup: '/system.slice/containerd.service',
  });
  addProcess(node, shim);
  const inside = {
    ...{ uid: person.uid, netNamespace, exeDevice: '0:88' },
    cgroup: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${pod}.slice/cri-containerd-${container}.scope`,
    cover: { job: externalId, toMs: job.endMs },
    environ: ['KUBERNETES_SERVICE_HOST=10.96.0.1', `HOSTNAME=${job.name}`],
  };
  const root = buildProcess({
    ...{ ...inside, pid: pids.next(node), ppid: shim.pid, startMs: startMs + 900, endMs: endMs - 500 },
    ...{ exePath: '/usr/bin/tini', argv: ['/usr/bin/tini', '--', ...job.argv], innerPid: 1 },
  });
  addProcess(node, root);
  const workers = devices.map((device, local) =>
    buildProcess({
      ...{ ...inside, pid: pids.next(node), ppid: root.pid, endMs: workersEndMs + local },
      ...{ startMs: startMs + 1500 + local * 35, exePath: job.executable, innerPid: 7 + local },
      argv: job.shape === 'serving' ? [`VLLM::Worker_TP${local}`] : job.argv,
      uses: [useOf(random, job, device, workersEndMs + local)],
    }),
  );
  for (const worker of workers) addProcess(node, worker);
  return { root, workers };
}

function useOf(random: Random, job: SimJob, device: number, toMs: number): DeviceUse {
  return {
    device,
    fromMs: Math.min(job.startMs + WARM_UP_MS, toMs),
    toMs,
    memoryMiB: random.integer(9000, 74_000),
    load: buildLoad(random, job.shape, job.startMs),
    type: 'C',
  };
}
