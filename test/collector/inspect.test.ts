import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { INSPECT_KINDS, type Inspection, inspect } from '../../collector/inspect.ts';

const folder = mkdtempSync(join(tmpdir(), 'inspect-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const root = fileURLToPath(new URL('../../', import.meta.url));
const START = `import { inspectCommand } from './collector/cli/inspect.ts';
await inspectCommand().parseAsync(process.argv.slice(1), { from: 'user' });`;
function cli(args: string[], input = '') {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', START, '--', ...args],
    {
      cwd: root,
      input,
      encoding: 'utf8',
    },
  );
  return { status, stdout, stderr };
}

const unknown = z.strictObject({ unknown: z.string().min(1) });
const or = <T extends z.ZodType>(type: T) => z.union([type, unknown]);
const percent = or(z.number().min(0).max(100));
const whole = or(z.int());
const text = or(z.string());
const bool = or(z.boolean());
const instance = z.strictObject({
  index: whole,
  uuid: text,
  profile: text,
  gpuInstance: whole,
  computeInstance: whole,
  memoryUsedBytes: whole,
  memoryTotalBytes: whole,
});
/** The documented shape, spelt out once more: a change of it must fail here. */
const Shape = z.strictObject({
  kind: z.enum(INSPECT_KINDS),
  driverVersion: text.nullable(),
  devices: z.array(
    z.strictObject({
      uuid: text,
      index: whole,
      minor: whole,
      busId: text,
      model: text,
      utilisationPercent: percent,
      memoryUtilisationPercent: percent,
      memoryUsedBytes: whole,
      memoryTotalBytes: whole,
      powerMilliwatts: whole,
      powerLimitMilliwatts: whole,
      migEnabled: bool,
      migInstances: z.array(instance),
      accountingEnabled: bool,
    }),
  ),
  processes: z.array(
    z.union([
      z.strictObject({
        device: text,
        pid: whole,
        type: text,
        name: text,
        smPercent: percent,
        memoryBytes: whole,
        gpuInstance: whole,
        computeInstance: whole,
      }),
      z.strictObject({
        owner: z.looseObject({ kind: z.string(), id: z.string(), boundary: z.string() }).nullable(),
      }),
    ]),
  ),
  accounted: z.array(
    z.strictObject({
      device: text,
      pid: whole,
      gpuUtilisationPercent: or(z.number()),
      memoryUtilisationPercent: or(z.number()),
      maxMemoryBytes: whole,
      timeMs: whole,
      running: bool,
    }),
  ),
  problems: z.array(
    z.strictObject({ line: z.int().min(1).nullable(), device: z.string().nullable(), message: z.string() }),
  ),
});

describe('inspect', () => {
  it('has one shape for every kind and any text', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.constantFrom(
        'uuid, utilization.gpu [%]\nGPU-1, 140 %\n',
        '# gpu pid type sm command\n0 5 C -3 x\n0 6 C 7 y\n',
        '<nvidia_smi_log><gpu><processes>N/A</processes></gpu></nvidia_smi_log>',
        '0::/docker/x',
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...INSPECT_KINDS), texts, (kind, any) => {
        expect(Shape.parse(JSON.parse(JSON.stringify(inspect(kind, any)))).kind).toBe(kind);
      }),
      { numRuns: 400 },
    );
  });

  it('calls absurd percentages unknown, with a problem', () => {
    const { devices, problems } = inspect('query-gpu', 'uuid, utilization.gpu [%]\nGPU-1, 140 %\n');
    expect(devices[0]?.utilisationPercent).toEqual({ unknown: 'out of range: 140' });
    expect(problems).toEqual([{ line: null, device: 'GPU-1', message: 'a utilisation of 140 %' }]);
    const [below] = inspect('query-gpu', 'uuid, memory.used [MiB]\nGPU-1, -1 MiB\n').devices;
    expect(below?.memoryUsedBytes).toEqual({ unknown: 'out of range: -1048576' });
  });

  it('reads a file with NUL characters as if they were not there, and says so', () => {
    const pmon = '# gpu pid type sm mem command\n# Idx # C/G % % name\n    0  7  C  12  3  python\n';
    const list = 'GPU 0: T (UUID: GPU-1)\n';
    for (const [kind, text] of [
      ['pmon', pmon],
      ['list', list],
    ] as const) {
      const { problems, ...rest } = inspect(kind, text.replace(/^/gm, '\0\0'));
      expect({ ...rest, problems: [] }).toEqual(inspect(kind, text));
      expect(problems).toMatchObject([{ line: null, message: expect.stringMatching(/^\d+ NUL characters/) }]);
    }
  });

  it('gives the owner of a cgroup, or null', () => {
    expect(inspect('cgroup', '0::/system.slice/x.service').processes).toMatchObject([
      { owner: { kind: 'systemd', boundary: 'systemd:/system.slice/x.service' } },
    ]);
    expect(inspect('cgroup', '\ufeff0::/system.slice/x.service\r\n')).toMatchObject({
      processes: [{ owner: { boundary: 'systemd:/system.slice/x.service' } }],
      problems: [],
    });
    const none = inspect('cgroup', '0::/\nrubbish');
    expect(none.processes).toEqual([{ owner: null }]);
    expect(none.problems).toMatchObject([{ line: 2, message: 'rubbish' }]);
  });
});

describe('the command', () => {
  it('prints JSON of a file or of standard input', () => {
    const content = 'GPU 0: Tesla T4 (UUID: GPU-1)\n';
    const file = join(folder, 'list.txt');
    writeFileSync(file, content);
    for (const result of [cli(['list', file, '--json']), cli(['list', '-', '--json'], content)]) {
      expect(result.status).toBe(0);
      expect(JSON.parse(result.stdout)).toEqual(JSON.parse(JSON.stringify(inspect('list', content))));
    }
  });

  it('reads what a redirection on Windows makes of it', () => {
    const content = 'index, uuid, utilization.gpu [%]\r\n0, GPU-1, 12 %\r\n';
    const little = Buffer.from(`\ufeff${content}`, 'utf16le');
    const files = {
      little,
      big: Buffer.from(little).swap16(),
      odd: Buffer.concat([little, Buffer.from('x')]),
    };
    for (const [name, bytes] of Object.entries(files)) {
      const file = join(folder, name);
      writeFileSync(file, bytes);
      const { stdout } = cli(['query-gpu', file, '--json']);
      expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(inspect('query-gpu', content))));
    }
  });

  it('prints tables in which text of a workload is inert', () => {
    const content =
      'gpu_uuid, pid, process_name, used_gpu_memory [MiB]\nGPU-1, 7, \u001b[31mred, 5 MiB\nodd \u001b[2J line\n';
    const { status, stdout } = cli(['compute-apps', '-'], content);
    expect(status).toBe(0);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toContain('\\x1b[31mred');
    expect(stdout).toContain('line 3: odd \\x1b[2J line');
  });

  it.each([
    [['list', join(folder, 'absent')], 'no such file'],
    [['list', folder], 'folder'],
    [['tarot', '-'], 'Allowed choices are xml, query-gpu'],
    [['list'], "missing required argument 'file'"],
  ])('%j ends with 2 and a reason', (args, message) => {
    const { status, stdout, stderr } = cli(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('refuses more than 16 MiB', () => {
    const file = join(folder, 'large');
    writeFileSync(file, Buffer.alloc(16 * 1024 * 1024 + 1, 'x'));
    expect(cli(['xml', file])).toMatchObject({ status: 2, stderr: expect.stringContaining('16 MiB') });
  });
});

const corpus = new URL('../../../shared/corpus/nvidia-smi/', import.meta.url);
const KINDS = new Map([
  ['xml', 'xml'],
  ['query-gpu', 'query-gpu'],
  ['query-compute-apps', 'compute-apps'],
  ['query-accounted-apps', 'accounted-apps'],
  ['pmon', 'pmon'],
  ['list', 'list'],
] as const);
const kindOf = (file: string) => [...KINDS].find(([name]) => file.startsWith(`${name}/`))?.[1];
const rowsOf = (name: string): string[][] =>
  readFileSync(new URL(name, corpus), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.split('\t'));
const read = (file: string): string => readFileSync(new URL(file, corpus), 'utf8');

describe.skipIf(!existsSync(corpus))('public captures', () => {
  const summary = existsSync(corpus) ? rowsOf('SUMMARY.tsv') : [];
  const files = existsSync(corpus) ? rowsOf('INDEX.tsv').map(([file = '']) => file) : [];

  it.each(summary)('%s agrees with the counts', (file = '', ...counts) => {
    const kind = kindOf(file);
    if (kind === undefined) throw new Error(`no kind for ${file}`);
    const expected = new Map(
      counts.map((pair): [string, string] => [pair.split('=', 1).join(), pair.slice(pair.indexOf('=') + 1)]),
    );
    const found = countsOf(inspect(kind, read(file)));
    for (const [key, value] of expected)
      if (key in found) expect({ [key]: value }).toEqual({ [key]: found[key] });
    const compared = [...expected.keys()].filter((key) => key in found);
    expect(compared.length).toBeGreaterThan(0);
  });

  it.each(files.filter((file) => kindOf(file) !== undefined).map((file) => [file]))(
    '%s has the documented shape',
    (file) => {
      const kind = kindOf(file);
      if (kind !== undefined) Shape.parse(JSON.parse(JSON.stringify(inspect(kind, read(file)))));
    },
  );

  it.each(files.filter((file) => file.startsWith('list/')).map((file) => [file]))(
    '%s: every line is a device or an instance',
    (file) => {
      const lines = read(file).trim().split('\n');
      const { devices, problems } = inspect('list', read(file));
      expect(problems).toEqual([]);
      expect(devices.length + devices.reduce((sum, device) => sum + device.migInstances.length, 0)).toBe(
        lines.length,
      );
      for (const device of devices) expect(typeof device.uuid).toBe('string');
    },
  );

  it.each(files.filter((file) => file.startsWith('failure/')).map((file) => [file]))(
    '%s is no device and no process, for any kind',
    (file) => {
      for (const kind of KINDS.values()) {
        const { devices, processes, accounted, problems } = inspect(kind, read(file));
        expect({ devices, processes, accounted }).toEqual({ devices: [], processes: [], accounted: [] });
        expect(problems.length).toBeGreaterThan(0);
      }
    },
  );
});

/** The same counts as SUMMARY.tsv, in its spelling. */
function countsOf({
  kind,
  driverVersion,
  devices,
  processes,
  accounted,
  problems,
}: Inspection): Record<string, string> {
  const rows = processes.filter((process) => 'pid' in process);
  const quoted = (list: (string | number)[]): string => `[${list.map((item) => `'${item}'`).join(', ')}]`;
  const pids = [...new Set(rows.flatMap(({ pid }) => (typeof pid === 'number' ? [pid] : [])))].sort(
    (a, b) => a - b,
  );
  const shares = rows.map(({ smPercent }) => smPercent);
  if (kind === 'pmon')
    return {
      pids: quoted(pids),
      short_rows: String(problems.length),
      sm_dash_rows: String(shares.filter((share) => typeof share !== 'number').length),
      sm_sum: String(shares.reduce((sum: number, share) => sum + (typeof share === 'number' ? share : 0), 0)),
    };
  if (kind !== 'xml')
    return {
      data_rows: String(devices.length + rows.length + accounted.length),
      header: problems.some(({ message }) => message.startsWith('no header line')) ? 'no' : 'yes',
      ragged_rows: String(problems.filter(({ line }) => line !== null).length),
    };
  const shown = (value: unknown, unit: string, scale = 1): string =>
    typeof value === 'number' ? `${value / scale} ${unit}` : 'N/A';
  const times = accounted.map(({ timeMs }) => (typeof timeMs === 'number' ? timeMs : 0));
  return {
    gpus: String(devices.length),
    driver: String(driverVersion),
    gpu_util: quoted(devices.map((device) => shown(device.utilisationPercent, '%'))),
    mem_used: quoted(devices.map((device) => shown(device.memoryUsedBytes, 'MiB', 1024 ** 2))),
    process_rows: String(rows.length),
    pids: quoted(pids),
    accounted_rows: String(accounted.length),
    accounted_time_ms: String(times.reduce((sum, ms) => sum + ms, 0)),
    mig_devices: String(devices.reduce((sum, device) => sum + device.migInstances.length, 0)),
  };
}
