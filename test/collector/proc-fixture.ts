/** A /proc that a test writes: real files in a temporary folder, read through the agent's real file port. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const BOOT_ID = '11111111-2222-3333-4444-555555555555';
export const BOOT_SECONDS = 1_700_000_000;

export const HOST_NAMESPACES = {
  ...{ pid: 4_026_531_836, net: 4_026_531_840, mnt: 4_026_531_841, user: 4_026_531_837 },
};
const MOUNTS =
  '22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n' +
  '26 22 0:24 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw\n';

export interface FixtureProcess {
  readonly pid: number;
  readonly parent?: number;
  readonly startTicks?: number;
  readonly comm?: string | Buffer;
  readonly state?: string;
  readonly session?: number;
  readonly flags?: number;
  readonly uid?: number;
  /** NUL-separated, as the kernel gives it. */
  readonly cmdline?: string | Buffer;
  readonly environ?: string;
  readonly cgroup?: string;
  /** What exe points to; null: it cannot be read, as for a kernel thread. */
  readonly exe?: string | null;
}

export class ProcFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'proc-'));
  readonly passwd = join(this.root, 'passwd');

  constructor(bootId = BOOT_ID) {
    this.write('sys/kernel/random/boot_id', `${bootId}\n`);
    this.write('stat', `cpu  1 2 3\nbtime ${BOOT_SECONDS}\nprocesses 10\n`);
    writeFileSync(this.passwd, 'root:x:0:0::/root:/bin/sh\nalice:x:2001:2001::/home/alice:/bin/sh\n');
  }

  write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
  }

  link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    rmSync(join(this.root, path), { force: true });
    symlinkSync(target, join(this.root, path));
  }

  /** Writes a process, in place of one that had its pid. */
  put(process: FixtureProcess): void {
    const {
      pid,
      parent = 1,
      startTicks = pid * 10,
      comm = 'python',
      state = 'S',
      session = pid,
      flags = 0,
    } = process;
    this.remove(pid);
    const tail = `) ${state} ${parent} ${pid} ${session} 0 -1 ${flags} ${'0 '.repeat(12)}${startTicks} ${'0 '.repeat(30)}\n`;
    this.write(`${pid}/stat`, Buffer.concat([Buffer.from(`${pid} (`), Buffer.from(comm), Buffer.from(tail)]));
    const {
      uid = 2001,
      cmdline = `${comm}\0`,
      environ = '',
      cgroup = '0::/\n',
      exe = '/usr/bin/python3.11',
    } = process;
    this.write(`${pid}/status`, `Name:\tx\nUid:\t${uid}\t0\t0\t0\nNSpid:\t${pid}\t7\n`);
    this.write(`${pid}/loginuid`, '4294967295');
    this.write(`${pid}/cmdline`, cmdline);
    this.write(`${pid}/environ`, environ);
    this.write(`${pid}/cgroup`, cgroup);
    for (const [name, inode] of Object.entries(HOST_NAMESPACES))
      this.link(`${pid}/ns/${name}`, `${name}:[${inode}]`);
    this.write(`${pid}/mountinfo`, MOUNTS);
    if (exe !== null) this.link(`${pid}/exe`, exe);
  }

  remove(path: number | string): void {
    rmSync(join(this.root, String(path)), { recursive: true, force: true });
  }

  destroy(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
