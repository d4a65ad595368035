// /proc is read byte for byte: what the kernel wrote comes back, and no name, argument or variable passes for something else.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BATCH_LIMITS } from '../../api/contract/batch.ts';
import { parseMounts } from '../../collector/sources/mounts.ts';
import { parsePasswd } from '../../collector/sources/passwd.ts';
import {
  parseCgroup,
  parseClaims,
  parseCommandLine,
  parseExecutablePath,
  parseLoginUid,
  parseStat,
  parseStatus,
} from '../../collector/sources/procfs.ts';
import { bytesToText } from '../../collector/text.ts';

const RUNS = { numRuns: 300 };
const MAX_PID = 2 ** 31 - 1;
const NO_LOGIN = 4_294_967_295;

const TRAPS = [
  ') R 1 1 1',
  ' ',
  '\n',
  '(',
  '\\',
  '\\x41',
  '=',
  ' - ',
  '\t',
  ' (deleted)',
  'Uid:\t0',
  '\u001b[2J',
  'SLURM_JOB_ID=1',
];
/** Bytes of any kind but `without`, with what could mislead a reader among them. */
const bytes = (maxLength: number, ...without: number[]): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        fc.constantFrom(...TRAPS).map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 6 }),
      ),
      {
        maxLength: 8,
      },
    )
    .map((parts) => Buffer.concat(parts).filter((byte) => !without.includes(byte)))
    .map((all) => Buffer.from(all).subarray(0, maxLength));

/** The bytes that an escaped text stands for. */
function unescaped(text: string): Buffer {
  const parts = text.split(/(\\x[0-9a-f]{2})/);
  return Buffer.concat(
    parts.map((part) => (/^\\x..$/.test(part) ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))),
  );
}

it('text is reversible, inert, and cut between characters', () => {
  fc.assert(
    fc.property(bytes(200), fc.nat(60), (raw, max) => {
      const whole = bytesToText(raw, 10_000);
      expect(unescaped(whole.text)).toEqual(raw);
      expect(whole.text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      const part = bytesToText(raw, max);
      expect(part.text.length).toBeLessThanOrEqual(max);
      expect(raw.subarray(0, unescaped(part.text).length)).toEqual(unescaped(part.text));
      expect(part.cut).toBe(part.text !== whole.text);
    }),
    RUNS,
  );
});

const stat = fc.record({
  pid: fc.integer({ min: 1, max: MAX_PID }),
  // The kernel keeps 15 bytes of it.
  comm: bytes(15, 0),
  state: fc.constantFrom(...'RSDZTtXI'),
  parent: fc.nat(MAX_PID),
  session: fc.nat(MAX_PID),
  kernel: fc.boolean(),
  ticks: fc.nat(),
});

describe('stat', () => {
  it('is read from both ends of a name that may hold anything', () => {
    fc.assert(
      fc.property(stat, fc.nat(), ({ pid, comm, state, parent, session, kernel, ticks }, cut) => {
        const flags = kernel ? 0x0020_8040 : 0x0040_0100;
        const head = Buffer.concat([Buffer.from(`${pid} (`), comm, Buffer.from(')')]);
        const fields = ` ${state} ${parent} 7 ${session} 0 -1 ${flags} 1 2 3 4 5 6 7 8 20 0 1 0 `;
        const line = Buffer.concat([head, Buffer.from(`${fields}${ticks} 1000 10 ${'0 '.repeat(28)}0\n`)]);
        expect(parseStat(line)).toEqual({
          ...{ pid, comm: bytesToText(comm, 253).text, state, parentPid: parent, sessionId: session },
          ...{ kernelThread: kernel, startTicks: ticks },
        });
        const end = cut % (head.length + fields.length);
        expect(parseStat(line.subarray(0, end))).toBeNull();
      }),
      RUNS,
    );
  });
});

/** As the kernel escapes a name in `status`. */
const escapedName = (comm: Buffer): string =>
  comm.toString('latin1').replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

it('status: owner and pids do not come from the name, and order does not matter', () => {
  const line = fc.constantFrom(
    'Umask:\t0022',
    'State:\tS (sleeping)',
    'Gid:\t5\t5\t5\t5',
    'VmPeak:\t  99 kB',
    'Threads:\t1',
  );
  fc.assert(
    fc.property(
      ...([
        bytes(15, 0),
        fc.option(fc.nat(NO_LOGIN)),
        fc.array(fc.integer({ min: 1, max: MAX_PID }), { maxLength: 3 }),
        fc.array(line),
      ] as const),
      fc.boolean(),
      (comm, uid, pids, others, swap) => {
        const own = [
          ...(uid === null ? [] : [`Uid:\t${uid}\t1\t2\t3`]),
          ...(pids.length === 0 ? [] : [`NSpid:\t${pids.join('\t')}`]),
        ];
        const lines = swap ? [...others, ...own.reverse()] : [...own, ...others];
        const text = `Name:\t${escapedName(comm)}\n${lines.join('\n')}\n`;
        expect(parseStatus(Buffer.from(text, 'latin1'))).toEqual({ uid, namespacePids: pids });
      },
    ),
    RUNS,
  );
});

it('login uid: a number, or nobody', () => {
  fc.assert(
    fc.property(fc.nat(NO_LOGIN), (uid) => {
      expect(parseLoginUid(Buffer.from(String(uid)))).toBe(uid === NO_LOGIN ? null : uid);
    }),
    RUNS,
  );
  for (const text of ['', '-1', 'x', '4294967296', '1 2'])
    expect(parseLoginUid(Buffer.from(text))).toBeNull();
});

describe('command line and environment', () => {
  it('every argument comes back, empty ones too', () => {
    fc.assert(
      fc.property(fc.array(bytes(60, 0), { minLength: 1, maxLength: 12 }), fc.boolean(), (argv, cut) => {
        const raw = Buffer.concat(argv.flatMap((one) => [one, Buffer.from([0])]));
        const line = parseCommandLine(raw, cut);
        expect(line.argv.map(unescaped)).toEqual(argv);
        expect(line.cut).toBe(cut);
        // A title that was written over the arguments has no end.
        if (argv.at(-1)?.length !== 0)
          expect(parseCommandLine(raw.subarray(0, -1), cut).argv.map(unescaped)).toEqual(argv);
      }),
      RUNS,
    );
  });

  it('claims are the first of each known name, and no other variable gets out', () => {
    const name = fc.constantFrom(
      'SLURM_JOB_ID',
      'GPULEDGER_JOB_ID',
      'PBS_JOBID',
      'AWS_SECRET_ACCESS_KEY',
      'XSLURM_JOB_ID',
      'SLURM_JOB_ID_X',
      '',
      'slurm_job_id',
    );
    const known = new Set(['SLURM_JOB_ID', 'GPULEDGER_JOB_ID', 'PBS_JOBID']);
    const variable = fc.tuple(name, fc.option(bytes(40, 0)));
    fc.assert(
      fc.property(fc.array(variable, { maxLength: 14 }), (environment) => {
        const raw = Buffer.concat(
          environment.flatMap(([key, value]) => [
            Buffer.from(key),
            ...(value === null ? [] : [Buffer.from('='), value]),
            Buffer.from([0]),
          ]),
        );
        const first = new Map<string, Buffer>();
        for (const [key, value] of environment)
          if (value !== null && known.has(key) && !first.has(key)) first.set(key, value);
        const claims = parseClaims(raw);
        expect(claims.map((claim) => claim.name)).toEqual([...first.keys()]);
        for (const claim of claims) expect(unescaped(claim.value)).toEqual(first.get(claim.name));
      }),
      RUNS,
    );
  });
});

it('an executable is deleted where the kernel says so, at its end', () => {
  fc.assert(
    fc.property(bytes(120, 0), fc.boolean(), (path, deleted) => {
      fc.pre(!path.toString('latin1').endsWith(' (deleted)'));
      const link = deleted ? Buffer.concat([path, Buffer.from(' (deleted)')]) : path;
      const read = parseExecutablePath(link);
      expect([unescaped(read.path), read.deleted]).toEqual([path, deleted]);
    }),
    RUNS,
  );
});

it('control groups keep every line, and of long ones the beginning', () => {
  const line = fc
    .tuple(fc.nat(13), bytes(3000, 0x0a))
    .map(([number, path]) =>
      Buffer.concat([Buffer.from(`${number}:cpu:/`), path, Buffer.alloc(path.length > 60 ? 2500 : 0, 'x')]),
    );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const text = parseCgroup(Buffer.concat(lines.flatMap((one) => [one, Buffer.from('\n')])));
      expect(text.length).toBeLessThanOrEqual(BATCH_LIMITS.cgroupChars);
      const read = text === '' ? [] : text.split('\n').map(unescaped);
      expect(read).toHaveLength(lines.length);
      for (const [at, one] of read.entries()) expect(lines[at]?.subarray(0, one.length)).toEqual(one);
      if (lines.every((one) => one.length < 100)) expect(read).toEqual(lines);
    }),
    RUNS,
  );
});

it('mounts: points come back whatever they are called, and lines that are none are passed over', () => {
  const octal = (raw: Buffer): string =>
    raw
      .toString('latin1')
      .replace(/[ \t\n\\]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const mount = fc.record({
    device: fc.tuple(fc.nat(4095), fc.nat(99_999)).map((pair) => pair.join(':')),
    point: bytes(60, 0).map((raw) => Buffer.concat([Buffer.from('/'), raw])),
    type: fc.constantFrom('ext4', 'tmpfs', 'overlay', 'fuse.sshfs', 'cgroup2'),
    tags: fc.subarray(['shared:1', 'master:2', 'propagate_from:3', 'unbindable']),
  });
  const foreign = fc.constantFrom(
    '',
    'x',
    '1 2 3',
    '1 2 8:1 / / rw ext4 /dev/sda rw',
    '36 35 98 / /mnt rw - ext3 /dev/root rw',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(mount, foreign), { maxLength: 10 }), (entries) => {
      const lines = entries.map((one) =>
        typeof one === 'string'
          ? one
          : [
              '36',
              '35',
              one.device,
              '/',
              octal(one.point),
              'rw,relatime',
              ...one.tags,
              '-',
              one.type,
              'none',
              'rw',
            ].join(' '),
      );
      expect(parseMounts(Buffer.from(`${lines.join('\n')}\n`, 'latin1'))).toEqual(
        entries.flatMap((one) =>
          typeof one === 'string'
            ? []
            : [{ device: one.device, point: one.point.toString('latin1'), type: one.type }],
        ),
      );
    }),
    RUNS,
  );
});

it('user names: the first of each id, of entries only', () => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,12}$/);
  const entry = fc.oneof(
    fc.tuple(name, fc.nat(65_535)),
    fc.constantFrom(
      '+::::::',
      '-bad:x:7:7::/:/bin/sh',
      '# comment',
      'x',
      ':x:5:5::/:/bin/sh',
      'a:x:-1:0::/:/x',
      'a:x:0x10:0::/:/x',
    ),
  );
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
      const text = entries.map((one) =>
        typeof one === 'string' ? one : `${one[0]}:x:${one[1]}:100::/home/x:/bin/sh`,
      );
      const expected = new Map<number, string>();
      for (const one of entries)
        if (typeof one !== 'string' && !expected.has(one[1])) expected.set(one[1], one[0]);
      expect(parsePasswd(Buffer.from(text.join('\n')))).toEqual(expected);
    }),
    RUNS,
  );
});
