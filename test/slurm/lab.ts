/** The cluster of cluster.sh for tests: started, asked, and stopped; and who of its users runs what. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../e2e/processes.ts';

const SCRIPT = fileURLToPath(new URL('cluster.sh', import.meta.url));
const HOOKS = fileURLToPath(new URL('../../docs/deploy/slurm/', import.meta.url));
const NEEDED = ['slurmctld', 'slurmd', 'slurmdbd', 'munged', 'mariadbd', 'squeue', 'runuser', 'curl'];

/** Why a real Slurm cannot run here; null: it can. */
export function whyNot(): string | null {
  if (process.getuid?.() !== 0) return 'not root';
  const missing = NEEDED.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  const folder = mkdtempSync('/var/tmp/gpuledger-slurm-');
  const made = spawnSync('mknod', [join(folder, 'device'), 'c', '195', '0']).status === 0;
  rmSync(folder, { recursive: true });
  return made ? null : 'device nodes cannot be made here';
}

/** Whether jobs get control groups of their own here, as cluster.sh asks for where it can. */
export function hasControlGroups(): boolean {
  try {
    for (const name of ['freezer', 'memory']) accessSync(`/sys/fs/cgroup/${name}`, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export interface Lab {
  readonly conf: string;
  /** Runs a program of Slurm as root; what it printed. */
  slurm(file: string, ...args: readonly string[]): string;
  /** sbatch as a user; the job's id. */
  submit(user: string, args: readonly string[], script: string): string;
  /** A copy of /bin/sleep under a name of its own, which its users may run. */
  executable(name: string): string;
  pidOfDaemon(name: string): number;
  /** A folder of Slurm's programs that know no JSON. */
  withoutJson(): string;
  /** slurmrestd on a socket of its own; null: it is not installed. */
  startRest(): string | null;
  stop(): void;
}

/** `url` and `token`: where its prolog and epilog send to. `track`: proctrack/linuxproc even where there are control groups. */
export function startLab(url: string, token: string, track: 'linuxproc' | '' = ''): Lab {
  // Its daemons and users are several accounts, to whom the tests' own temporary folder is closed.
  const lab = mkdtempSync('/var/tmp/gpuledger-slurm-');
  spawnSync('chmod', ['755', lab]);
  const hooks = join(lab, 'hooks');
  const tools = join(lab, 'tools');
  for (const path of [hooks, tools]) mkdirSync(path);
  writeFileSync(join(hooks, 'token'), token, { mode: 0o600 });
  writeFileSync(
    join(hooks, 'hooks.conf'),
    `GPULEDGER_URL=${url}\nGPULEDGER_TOKEN_FILE=${join(hooks, 'token')}\n`,
  );
  for (const hook of ['prolog', 'epilog'])
    writeFileSync(
      join(hooks, `${hook}.sh`),
      `#!/bin/sh\nexport GPULEDGER_HOOKS_CONF=${join(hooks, 'hooks.conf')}\nexec ${HOOKS}${hook}.sh\n`,
      { mode: 0o755 },
    );
  const conf = join(lab, 'etc', 'slurm.conf');
  const run = (file: string, args: readonly string[], env: Record<string, string> = {}): string => {
    const { status, stdout, stderr } = spawnSync(file, [...args], {
      encoding: 'utf8',
      cwd: '/',
      timeout: 60_000,
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', SLURM_CONF: conf, ...env },
    });
    if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${status}\n${stdout}\n${stderr}`);
    return stdout;
  };
  const settings: Record<string, string> = track === '' ? {} : { TRACK: track, PORTS: '17200' };
  let rest: ChildProcess | null = null;
  const stop = (): void => {
    if (rest?.pid !== undefined) process.kill(-rest.pid, 'SIGKILL');
    run('bash', [SCRIPT, 'down', lab], settings);
    rmSync(lab, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  try {
    run('bash', [SCRIPT, 'up', lab], { HOOKS: hooks, ...settings });
  } catch (error) {
    stop();
    throw error;
  }
  return {
    conf,
    slurm: (file, ...args) => run(file, args),
    submit: (user, args, script) => {
      const wrapped = ['-D', '/', '-o', '/dev/null', '--parsable', ...args, '--wrap', script];
      return run('runuser', ['-u', user, '--', 'sbatch', ...wrapped]).trim();
    },
    executable: (name) => {
      const path = join(tools, name);
      copyFileSync('/bin/sleep', path);
      return path;
    },
    withoutJson: () => {
      const bin = join(lab, 'bin');
      mkdirSync(bin, { recursive: true });
      for (const name of ['squeue', 'sacct', 'sinfo', 'scontrol'])
        writeFileSync(
          join(bin, name),
          `#!/bin/sh\ncase " $* " in *" --json "*) echo "$0: unrecognized option '--json'" >&2; exit 1 ;; esac\nexec ${name} "$@"\n`,
          { mode: 0o755 },
        );
      return bin;
    },
    startRest: () => {
      if (spawnSync('sh', ['-c', 'command -v slurmrestd']).status !== 0) return null;
      const socket = join(lab, 'jobs', 'rest.sock');
      const args = ['-u', 'bob', '--', 'slurmrestd', '-f', conf, '-a', 'rest_auth/local', `unix:${socket}`];
      const env = { PATH: process.env['PATH'], SLURM_CONF: conf };
      rest = spawn('runuser', args, { stdio: 'ignore', detached: true, env, cwd: '/' });
      run('sh', ['-c', `for i in $(seq 100); do [ -S ${socket} ] && exit 0; sleep 0.1; done; exit 1`]);
      return `unix:${socket}`;
    },
    pidOfDaemon: (name) => Number(readFileSync(join(lab, 'run', 'slurm', `${name}.pid`), 'utf8')),
    stop,
  };
}

/** What is only changed waits for Slurm's scheduler, which looks at all jobs once a minute. */
const SCHEDULED_MS = 120_000;

/** The pid of the process that runs `path`, other than `but`. */
export const pidOf = (path: string, but = 0): Promise<number> =>
  until(
    `a process that runs ${path}`,
    () => {
      for (const name of readdirSync('/proc')) {
        if (!/^\d+$/.test(name) || Number(name) === but) continue;
        try {
          if (readlinkSync(`/proc/${name}/exe`) === path) return Number(name);
        } catch {
          // gone, or a kernel thread
        }
      }
      return null;
    },
    SCHEDULED_MS,
  );
