/** The hardware and the people of the simulated site, and the daemons that run on every node of it. */
import type { Image, SimDevice, SimModel, SimNode, SimProcess, SimUser } from './model.ts';
import { HOST_NETWORK } from './model.ts';
import type { Random } from './random.ts';

export const H100: SimModel = {
  name: 'NVIDIA H100 80GB HBM3',
  memoryMiB: 81_559,
  architecture: 'Hopper',
  idleWatts: 70,
  limitWatts: 700,
  deviceId: '233010DE',
};
export const A100: SimModel = {
  name: 'NVIDIA A100-SXM4-80GB',
  memoryMiB: 81_920,
  architecture: 'Ampere',
  idleWatts: 55,
  limitWatts: 400,
  deviceId: '20B210DE',
};

export interface SitePerson extends SimUser {
  readonly account: string;
}

const person = (account: string, uid: number, name: string): SitePerson => ({ account, uid, name });
export const PEOPLE: readonly SitePerson[] = [
  person('language-models', 2001, 'asharma'),
  person('language-models', 2002, 'jlindqvist'),
  person('language-models', 2003, 'mkeller'),
  person('vision', 2004, 'rtanaka'),
  person('vision', 2005, 'bobrien'),
  person('climate', 2006, 'lfischer'),
  person('climate', 2007, 'tnovak'),
  person('genomics', 2008, 'sokafor'),
  person('genomics', 2009, 'pdubois'),
  person('robotics', 2010, 'hkim'),
  person('robotics', 2011, 'egarcia'),
  person('agents-lab', 2012, 'cwong'),
  person('agents-lab', 2013, 'rlagent'),
];

export const personNamed = (name: string): SitePerson => {
  const found = PEOPLE.find((candidate) => candidate.name === name);
  if (found === undefined) throw new RangeError(`nobody is called ${name}`);
  return found;
};

export type Scheduler = 'slurm' | 'kubernetes';
export interface SiteNode extends SimNode {
  readonly scheduler: Scheduler;
}

const DAY_MS = 86_400_000;
const BUSES = ['19', '3B', '4C', '5D', '9B', 'BB', 'CB', 'DB'];

/** Two thirds H100 under Slurm, the rest A100 under Kubernetes; `nodes` ≥ 2. */
export function buildNodes(random: Random, nodes: number, startMs: number): SiteNode[] {
  const slurmNodes = Math.ceil((nodes * 2) / 3);
  return Array.from({ length: nodes }, (_, index) => {
    const slurm = index < slurmNodes;
    const number = String(slurm ? index + 1 : index - slurmNodes + 1).padStart(2, '0');
    const bootMs = startMs - random.integer(9 * DAY_MS, 70 * DAY_MS);
    return {
      name: `${slurm ? 'gpu-h' : 'gpu-a'}${number}`,
      scheduler: slurm ? 'slurm' : 'kubernetes',
      bootId: random.uuid(),
      bootMs,
      driverVersion: slurm ? '580.95.05' : '570.172.08',
      cudaVersion: slurm ? '13.0' : '12.8',
      devices: BUSES.map((bus, device) => buildDevice(random, slurm ? H100 : A100, device, bus)),
      processes: daemons(slurm ? 'slurm' : 'kubernetes', bootMs),
      toolFaults: [],
      agentOff: [],
      users: PEOPLE,
    };
  });
}

const buildDevice = (random: Random, model: SimModel, index: number, bus: string): SimDevice => ({
  uuid: `GPU-${random.uuid()}`,
  index,
  minor: index,
  busId: `00000000:${bus}:00.0`,
  serial: `16${random.integer(10 ** 10, 10 ** 11 - 1)}`,
  model,
  faults: [],
  lies: [],
});

/** What a process is made of, with the usual for the rest. `startMs` also dates its first image and cgroup. */
export interface ProcessSpec {
  readonly pid: number;
  readonly ppid: number;
  readonly startMs: number;
  readonly endMs: number | null;
  readonly uid: number;
  readonly exePath: string;
  readonly argv: readonly string[];
  readonly cgroup: string;
  readonly comm?: string;
  readonly environ?: readonly string[];
  readonly exeDevice?: string;
  readonly loginUid?: number;
  readonly netNamespace?: number;
  readonly innerPid?: number;
  readonly uses?: SimProcess['uses'];
  readonly sockets?: SimProcess['sockets'];
  readonly cover?: SimProcess['cover'];
}

const COMM_CHARS = 15;

export function buildProcess(spec: ProcessSpec): SimProcess {
  const image: Image = {
    fromMs: spec.startMs,
    comm: (spec.comm ?? spec.exePath.slice(spec.exePath.lastIndexOf('/') + 1)).slice(0, COMM_CHARS),
    exePath: spec.exePath,
    exeDevice: spec.exeDevice ?? '259:2',
    exeInode: String(inodeOf(spec.exePath)),
    exeDeleted: false,
    argv: spec.argv,
    environ: spec.environ ?? [],
  };
  return {
    pid: spec.pid,
    startMs: spec.startMs,
    endMs: spec.endMs,
    ppid: spec.ppid,
    uid: spec.uid,
    loginUid: spec.loginUid ?? null,
    netNamespace: spec.netNamespace ?? HOST_NETWORK,
    innerPid: spec.innerPid ?? null,
    images: [image],
    cgroups: [{ fromMs: spec.startMs, text: `0::${spec.cgroup}\n` }],
    uses: spec.uses ?? [],
    sockets: spec.sockets ?? [],
    cover: spec.cover ?? null,
  };
}

/** The same path has the same inode everywhere, as on a shared file system. */
function inodeOf(path: string): number {
  let hash = 17;
  for (let index = 0; index < path.length; index += 1)
    hash = (Math.imul(hash, 31) + path.charCodeAt(index)) >>> 0;
  return 100_000 + (hash % 90_000_000);
}

const CONTAINERD_PID = 1480;
export const SSHD_PID = 1105;

function daemons(scheduler: Scheduler, bootMs: number): SimProcess[] {
  const daemon = (pid: number, ppid: number, exePath: string, unit: string, argv: string[]): SimProcess =>
    buildProcess({
      ...{ pid, ppid, exePath, argv, uid: 0, endMs: null, cgroup: unit },
      startMs: bootMs + pid * 10,
    });
  const both = [
    daemon(1, 0, '/usr/lib/systemd/systemd', '/init.scope', ['/sbin/init']),
    daemon(SSHD_PID, 1, '/usr/sbin/sshd', '/system.slice/ssh.service', [
      'sshd: /usr/sbin/sshd -D [listener]',
    ]),
    daemon(1210, 1, '/usr/bin/nvidia-persistenced', '/system.slice/nvidia-persistenced.service', [
      '/usr/bin/nvidia-persistenced',
    ]),
  ];
  return scheduler === 'slurm'
    ? [
        ...both,
        daemon(1420, 1, '/usr/sbin/slurmd', '/system.slice/slurmd.service', ['/usr/sbin/slurmd', '-D', '-s']),
      ]
    : [
        ...both,
        daemon(CONTAINERD_PID, 1, '/usr/bin/containerd', '/system.slice/containerd.service', [
          '/usr/bin/containerd',
        ]),
        daemon(1502, 1, '/usr/bin/kubelet', '/system.slice/kubelet.service', [
          '/usr/bin/kubelet',
          '--config=/var/lib/kubelet/config.yaml',
        ]),
      ];
}
