/** The node that is measured on: real processes that only sleep, and eight GPUs that only a stand-in nvidia-smi knows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { createFakeNvidiaSmi } from '../fakes/nvidia-smi.ts';

const MIB = 1024 * 1024;
/** Between a GPU process and the session's leader: a launcher as training jobs have one. */
const LAUNCHER = 'sleep 86400 & echo $!; wait';
const CHANGE_MS = 1000;
const JOBS = 2;
const REMOVAL_MS = 5000;
/** Where a hierarchy of control groups may be that holds the whole machine, and where Slurm has its jobs there. */
const HIERARCHIES = [
  { root: '/sys/fs/cgroup/devices', jobs: 'slurm/uid_0' },
  { root: '/sys/fs/cgroup', jobs: 'system.slice/slurmstepd.scope' },
  { root: '/sys/fs/cgroup/unified', jobs: 'system.slice/slurmstepd.scope' },
];

export interface NodeLoad {
  readonly nvidiaSmi: string;
  readonly gpuPids: readonly number[];
  /** Whether the GPU processes are in the control groups of jobs; else all the processes may count as one job. */
  readonly inJobs: boolean;
  stop(): Promise<void>;
}

export interface LoadSize {
  readonly gpus: number;
  readonly gpuProcesses: number;
  readonly otherProcesses: number;
}

/** Utilisation, SM shares and memory change each second, the set of processes does not. `folder` must be there. */
export async function startLoad(folder: string, size: LoadSize): Promise<NodeLoad> {
  const leaders: ChildProcess[] = [];
  const gpuPids: number[] = [];
  const jobs = Array.from({ length: JOBS }, (_, i) => makeJob(`job_${process.pid}${i}`));
  const each = size.gpuProcesses / JOBS;
  for (const job of jobs) {
    const enter = job === null ? '' : `echo $$ > ${job}/cgroup.procs; `;
    const start = `i=0; while [ $i -lt ${each} ]; do sh -c '${LAUNCHER}; :' & i=$((i+1)); done; wait`;
    gpuPids.push(...(await startSleepers(leaders, enter + start, each)));
  }
  await startSleepers(
    leaders,
    `i=0; while [ $i -lt ${size.otherProcesses} ]; do sleep 86400 & i=$((i+1)); echo $!; done; wait`,
    size.otherProcesses,
  );
  const fake = createFakeNvidiaSmi(folder);
  const uuids = Array.from(
    { length: size.gpus },
    (_, i) => `GPU-be9c4000-0000-4000-8000-${String(i).padStart(12, '0')}`,
  );
  fake.setDevices(uuids.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  let round = 0;
  const change = (): void => {
    round += 1;
    const one = (pid: number, i: number) => ({
      ...{ device: uuids[i % uuids.length] ?? '', pid, sm: 20 + ((round * 7 + i * 5) % 30) },
      memoryBytes: (20_000 + ((round + i) % 64) * 16) * MIB,
    });
    fake.setProcesses(gpuPids.map(one));
  };
  change();
  const timer = setInterval(change, CHANGE_MS);
  return {
    nvidiaSmi: fake.path,
    gpuPids,
    inJobs: jobs.every((job) => job !== null),
    async stop() {
      clearInterval(timer);
      for (const { pid } of leaders.splice(0)) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
      await Promise.all(jobs.map((job) => (job === null || !existsSync(job) ? null : removeJob(job))));
    },
  };
}

/** The folder of a job's control group; null where none can be made. */
function makeJob(name: string): string | null {
  for (const { root, jobs } of HIERARCHIES) {
    if (!existsSync(join(root, 'cgroup.procs'))) continue;
    try {
      const folder = join(root, jobs, name);
      mkdirSync(folder, { recursive: true });
      return folder;
    } catch {
      // No right to, or not here.
    }
  }
  return null;
}

/** The kernel refuses until the last process is gone. */
async function removeJob(folder: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < REMOVAL_MS; waitedMs += 10) {
    try {
      rmdirSync(folder);
      return;
    } catch {
      await rest(10);
    }
  }
}

/** Runs a script in a session of its own, which prints `count` pids. */
async function startSleepers(leaders: ChildProcess[], script: string, count: number): Promise<number[]> {
  const leader = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  leaders.push(leader);
  await once(leader, 'spawn');
  const pids: number[] = [];
  let text = '';
  for await (const chunk of leader.stdout) {
    text += String(chunk);
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    pids.push(...lines.map(Number));
    if (pids.length >= count) break;
  }
  return pids;
}
