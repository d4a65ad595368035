/**
 * The ordinary troubles in the simulated site's history: each reserves the devices that it needs, and later adds its
 * processes. Hours count back from the history's end; a trouble that would lie before its start is left out.
 */
import { type Pids, slurmCgroup, slurmEnvironment, startJob } from './job-processes.ts';
import { buildLoad, type Shape } from './load-shapes.ts';
import { addProcess, type SimProcess } from './model.ts';
import type { Random } from './random.ts';
import { buildProcess, personNamed, type SiteNode, type SitePerson, SSHD_PID } from './site-nodes.ts';
import type { Reservation, SimJob } from './workload.ts';

/** Something that happens beside the plan of the scheduler. */
export interface Story {
  readonly fromMs: number;
  readonly reserved: readonly Reservation[];
  /** Jobs that it brings along; they are declared like all others. */
  readonly jobs: readonly SimJob[];
  /** Adds its processes and faults to its nodes; `all` are the jobs of the site. */
  play(random: Random, pids: Pids, all: readonly SimJob[]): void;
}

/** The site as the stories see it. */
export interface Stage {
  readonly nodes: readonly SiteNode[];
  /** The end of the history. */
  readonly endMs: number;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const TORCH = '/shared/envs/torch-2.8/bin/python3.11';

export const reserve = (
  node: SiteNode,
  devices: readonly number[],
  fromMs: number,
  toMs: number,
): Reservation[] => devices.map((device) => ({ node, device, fromMs, toMs }));

/** The n-th node of the scheduler, counting round; where it has none, of the whole site. */
export function stageNode({ nodes }: Stage, scheduler: SiteNode['scheduler'], index: number): SiteNode {
  const of = nodes.filter((node) => node.scheduler === scheduler);
  const found = of[index % Math.max(1, of.length)] ?? nodes[index % nodes.length];
  if (found === undefined) throw new RangeError('a site needs a node');
  return found;
}

const hoursBefore = (stage: Stage, hours: number): number => stage.endMs - hours * HOUR_MS;

/** All troubles that lie within the history. */
export function planBlemishes(stage: Stage, startMs: number): Story[] {
  return [orphan, nightShift, agentOff, needsReset, borrowedClaim, stalledJob, falsified, bursts]
    .map((plan) => plan(stage))
    .filter(({ fromMs }) => fromMs >= startMs + HOUR_MS);
}

interface StoryJob {
  readonly externalId: string;
  readonly name: string;
  readonly person: SitePerson;
  readonly node: SiteNode;
  readonly devices: readonly number[];
  readonly startMs: number;
  readonly endMs: number;
  readonly shape: Shape;
}
const storyJob = ({ node, devices, ...rest }: StoryJob): SimJob => ({
  ...rest,
  source: 'slurm',
  placements: [{ node, devices }],
  executable: TORCH,
  argv: [TORCH, 'train.py'],
  declares: [],
});

/** A child that left its session outlives its job by three hours. */
function orphan(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 1);
  const fromMs = hoursBefore(stage, 58);
  const toMs = hoursBefore(stage, 49.3);
  const job = storyJob({
    ...{ externalId: '8061', name: 'sweep-lr', person: personNamed('mkeller'), node, devices: [5] },
    ...{ startMs: fromMs, endMs: hoursBefore(stage, 52.2), shape: 'small' },
  });
  return {
    fromMs,
    reserved: reserve(node, [5], fromMs, toMs),
    jobs: [job],
    play: (random, pids) => {
      const tree = startJob(random, pids, job);
      const parent = tree.workers[0]?.pid ?? 1;
      const startMs = job.endMs - 20 * MINUTE_MS;
      addProcess(
        node,
        buildProcess({
          ...{ pid: pids.next(node), ppid: parent, startMs, endMs: toMs, uid: job.person.uid },
          ...{ exePath: TORCH, exeDevice: '0:52', argv: [TORCH, 'evaluate.py', '--all-checkpoints'] },
          cgroup: slurmCgroup(job.externalId, 'batch'),
          environ: slurmEnvironment(job),
          uses: [
            {
              ...{ device: 5, fromMs: startMs + 20_000, toMs, memoryMiB: 21_400, type: 'C' },
              load: buildLoad(random, 'evaluation', startMs),
            },
          ],
          cover: { job: job.externalId, toMs: job.endMs },
        }),
      );
    },
  };
}

interface Session {
  readonly node: SiteNode;
  readonly person: SitePerson;
  readonly session: number;
  readonly startMs: number;
  readonly endMs: number;
}

/** sshd and a shell of somebody's login; returns the shell. */
function logIn(pids: Pids, { node, person, session, startMs, endMs }: Session): SimProcess {
  const cgroup = `/user.slice/user-${person.uid}.slice/session-${session}.scope`;
  const shared = { cgroup, loginUid: person.uid, endMs };
  const server = buildProcess({
    ...{ ...shared, pid: pids.next(node), ppid: SSHD_PID, startMs, uid: 0 },
    ...{ exePath: '/usr/sbin/sshd', argv: [`sshd: ${person.name} [priv]`] },
  });
  const shell = buildProcess({
    ...{ ...shared, pid: pids.next(node), ppid: server.pid, startMs: startMs + 700, uid: person.uid },
    ...{ exePath: '/usr/bin/bash', argv: ['-bash'] },
  });
  addProcess(node, server);
  addProcess(node, shell);
  return shell;
}

/** In the night, from a login session, on a device that nobody holds. */
function nightShift(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 4);
  const midnight = Math.floor(hoursBefore(stage, 30) / DAY_MS) * DAY_MS;
  const fromMs = midnight + 100 * MINUTE_MS;
  const toMs = midnight + 295 * MINUTE_MS;
  const person = personNamed('egarcia');
  return {
    fromMs,
    reserved: reserve(node, [7], fromMs, toMs + MINUTE_MS),
    jobs: [],
    play: (random, pids) => {
      const shell = logIn(pids, { node, person, session: 44, startMs: fromMs, endMs: toMs });
      const path = '/home/egarcia/.local/share/fontcache/fontd';
      addProcess(
        node,
        buildProcess({
          ...{ pid: pids.next(node), ppid: shell.pid, startMs: fromMs + 40_000, endMs: toMs - 2000 },
          ...{
            uid: person.uid,
            loginUid: person.uid,
            exePath: path,
            argv: ['./fontd', '-q'],
            exeDevice: '0:53',
          },
          cgroup: `/user.slice/user-${person.uid}.slice/session-44.scope`,
          uses: [
            {
              ...{ device: 7, fromMs: fromMs + 42_000, toMs: toMs - 2000, memoryMiB: 5930, type: 'C' },
              load: buildLoad(random, 'flat', fromMs),
            },
          ],
        }),
      );
    },
  };
}

/** An agent that was switched off for three hours. */
function agentOff(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 6);
  const fromMs = hoursBefore(stage, 75.4);
  return {
    ...{ fromMs, reserved: [], jobs: [] },
    play: () => {
      node.agentOff.push({ fromMs, toMs: fromMs + 3 * HOUR_MS });
    },
  };
}

/** A device that needs a reset, in the middle of somebody's work. */
function needsReset(stage: Stage): Story {
  const node = stageNode(stage, 'kubernetes', 1);
  const fromMs = hoursBefore(stage, 30.7);
  return {
    ...{ fromMs, reserved: [], jobs: [] },
    play: () => {
      node.devices[6]?.faults.push({ fromMs, toMs: fromMs + 5.2 * HOUR_MS, kind: 'requires_reset' });
    },
  };
}

/** A process that names somebody else's job in its environment and runs outside of it. */
function borrowedClaim(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 3);
  const fromMs = hoursBefore(stage, 20.3);
  const toMs = hoursBefore(stage, 17.8);
  const person = personNamed('tnovak');
  return {
    fromMs,
    reserved: reserve(node, [7], fromMs, toMs + MINUTE_MS),
    jobs: [],
    play: (random, pids, all) => {
      const running = all.find(
        (job) => job.source === 'slurm' && job.startMs < fromMs && job.endMs > toMs && job.person !== person,
      );
      if (running === undefined) return;
      const shell = logIn(pids, { node, person, session: 61, startMs: fromMs, endMs: toMs });
      addProcess(
        node,
        buildProcess({
          ...{ pid: pids.next(node), ppid: shell.pid, startMs: fromMs + 90_000, endMs: toMs - 3000 },
          ...{ uid: person.uid, loginUid: person.uid, exePath: '/usr/bin/python3.11' },
          argv: ['python3', 'hindcast.py', '--years', '1990-2020'],
          environ: slurmEnvironment(running),
          cgroup: `/user.slice/user-${person.uid}.slice/session-61.scope`,
          uses: [
            {
              ...{ device: 7, fromMs: fromMs + 110_000, toMs: toMs - 3000, memoryMiB: 33_200, type: 'C' },
              load: buildLoad(random, 'small', fromMs),
            },
          ],
        }),
      );
    },
  };
}

/** A job whose ranks hang from its third hour on: contexts stay, nothing executes, the allocation goes on. */
function stalledJob(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 5);
  const devices = [0, 1, 2, 3];
  const fromMs = hoursBefore(stage, 44);
  const endMs = hoursBefore(stage, 33);
  const job = storyJob({
    ...{ externalId: '8064', name: 'policy-ppo-xl', person: personNamed('hkim'), node, devices },
    ...{ startMs: fromMs, endMs, shape: 'stalled' },
  });
  return {
    fromMs,
    reserved: reserve(node, devices, fromMs, endMs),
    jobs: [job],
    play: (random, pids) => {
      startJob(random, pids, job);
    },
  };
}

/** A device that claims to be still and to be nobody's, and draws the power of work. */
function falsified(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 2);
  const fromMs = hoursBefore(stage, 27.6);
  const toMs = hoursBefore(stage, 25.9);
  return {
    ...{ fromMs, reserved: reserve(node, [6], fromMs, toMs + MINUTE_MS), jobs: [] },
    play: (random, pids) => {
      node.devices[6]?.lies.push({
        ...{ fromMs, toMs, utilisationPercent: 0, memoryMiB: IDLE_MIB, hideProcesses: true },
      });
      addProcess(
        node,
        buildProcess({
          ...{ pid: pids.next(node), ppid: 1, startMs: fromMs + 5000, endMs: toMs - 5000, uid: 0 },
          ...{
            exePath: '/usr/lib/modules-helper/kmodd',
            argv: ['kmodd'],
            cgroup: '/system.slice/kmodd.service',
          },
          uses: [
            {
              ...{ device: 6, fromMs: fromMs + 10_000, toMs: toMs - 5000, memoryMiB: 5100, type: 'C' },
              load: buildLoad(random, 'flat', fromMs),
            },
          ],
        }),
      );
    },
  };
}

/** What the driver keeps on a device that nobody uses. */
const IDLE_MIB = 4;
const BURSTS = 40;
const BURST_MS = 25_000;
const BURST_EVERY_MS = 60_000;

/** Short runs from a login session, each over before anybody looks: only the driver's accounting tells of them. */
function bursts(stage: Stage): Story {
  const node = stageNode(stage, 'slurm', 7);
  // A poll of the history is at the full minute.
  const fromMs = Math.floor(hoursBefore(stage, 22.8) / BURST_EVERY_MS) * BURST_EVERY_MS;
  const toMs = fromMs + BURSTS * BURST_EVERY_MS;
  const person = personNamed('bobrien');
  return {
    ...{ fromMs, reserved: reserve(node, [7], fromMs, toMs), jobs: [] },
    play: (random, pids) => {
      node.accounting = { on: true, fromMs: fromMs - HOUR_MS, rows: [] };
      const shell = logIn(pids, { node, person, session: 73, startMs: fromMs, endMs: toMs });
      for (let at = fromMs; at < toMs; at += BURST_EVERY_MS) {
        const startMs = at + random.integer(4000, 30_000);
        const endMs = startMs + BURST_MS;
        addProcess(
          node,
          buildProcess({
            ...{
              pid: pids.next(node),
              ppid: shell.pid,
              startMs,
              endMs,
              uid: person.uid,
              loginUid: person.uid,
            },
            ...{ exePath: '/home/bobrien/bin/warmup', argv: ['./warmup', '--seconds', '24'] },
            cgroup: `/user.slice/user-${person.uid}.slice/session-73.scope`,
            uses: [
              {
                ...{ device: 7, fromMs: startMs + 500, toMs: endMs, memoryMiB: 9200, type: 'C' },
                load: buildLoad(random, 'flat', startMs),
              },
            ],
          }),
        );
      }
    },
  };
}
