import { describe, expect, it } from 'vitest';
import type { Executed } from '../../collector/ports.ts';
import type { Inventory } from '../../collector/reading.ts';
import {
  APPS,
  app,
  busOf,
  done,
  type Fake,
  fact,
  gpuText,
  PMON,
  reasons,
  rig,
  uuidOf,
} from './nvidia-smi-rig.ts';

const MIB = 1024 * 1024;
const took = (durationMs: number, executed: Executed): Executed => ({ ...executed, durationMs });
const kinds = (calls: readonly string[][]): string[] => calls.map(([head = '']) => head.split('=', 1).join());

describe('pmon', () => {
  /** One device; what is on it can be changed. */
  function one() {
    const now = { utilisation: 90, apps: [5], pmon: ['0 5 C 80 1 x'] };
    const made = rig({
      gpu: (fields) => done(gpuText(fields, [0], { 0: { 'utilization.gpu': `${now.utilisation} %` } })),
      apps: () => done(APPS + now.apps.map((pid) => app(0, pid)).join('')),
      pmon: () => done(`${PMON}${now.pmon.join('\n')}\n`),
    });
    /** Whether this poll asked pmon, and what it says is there. */
    const poll = async () => {
      const before = made.calls.length;
      const [device] = (await made.poller.poll([fact(0)])).devices;
      const processes = device?.ok
        ? device.processes.map(({ pid, type, smPercent }) => [pid, type, smPercent])
        : null;
      return [kinds(made.calls.slice(before)).includes('pmon'), processes];
    };
    return { ...made, now, poll };
  }

  it('is left out while a device has one known process, whose type is remembered', async () => {
    const { poll, advance, now } = one();
    expect(await poll()).toEqual([true, [[5, 'C', 80]]]);
    expect(await poll()).toEqual([false, [[5, 'C', null]]]);
    now.apps = [6];
    now.pmon = ['0 6 M+C 70 1 x'];
    expect(await poll()).toEqual([true, [[6, 'M+C', 70]]]);
    expect(await poll()).toEqual([false, [[6, 'M+C', null]]]);
    advance(30_000);
    now.pmon = ['0 6 M+C 70 1 x', '0 7 G 3 1 y'];
    expect(await poll()).toEqual([
      true,
      [
        [6, 'M+C', 70],
        [7, 'G', 3],
      ],
    ]);
  });

  it('is asked at every poll where two share, where one draws, and where work has no process', async () => {
    const { poll, now } = one();
    await poll();
    now.apps = [5, 6];
    now.pmon = ['0 5 C 60 1 x', '0 6 C 30 1 x'];
    for (const time of [1, 2])
      expect([time, await poll()]).toEqual([
        time,
        [
          true,
          [
            [5, 'C', 60],
            [6, 'C', 30],
          ],
        ],
      ]);
    now.utilisation = 0;
    expect(await poll()).toEqual([
      false,
      [
        [5, 'C', null],
        [6, 'C', null],
      ],
    ]);
    now.utilisation = 20;
    now.apps = [];
    now.pmon = ['0 9 G 20 1 y'];
    for (const time of [1, 2]) expect([time, await poll()]).toEqual([time, [true, [[9, 'G', 20]]]]);
    now.pmon = ['0 - - - - -'];
    expect(await poll()).toEqual([true, []]);
    now.utilisation = 0;
    expect(await poll()).toEqual([false, []]);
  });

  it('that a board does not support is not asked again until the next inventory', async () => {
    const { calls, poller } = rig({ pmon: () => done('Not supported on the device(s)\n', 255) });
    const polls = [await poller.poll([fact(0)]), await poller.poll([fact(0)])];
    expect(polls.map(({ problems }) => problems.length)).toEqual([1 + 1, 1]);
    expect(kinds(calls).filter((kind) => kind === 'pmon')).toHaveLength(1);
    poller.inventoried(inventory(null));
    await poller.poll([fact(0)]);
    expect(kinds(calls).filter((kind) => kind === 'pmon')).toHaveLength(2);
  });
});

const inventory = (cost: Inventory['cost'], driverVersion = '1'): Inventory => ({
  devices: [],
  driverVersion,
  accountingMode: false,
  cost,
  failure: null,
  problems: [],
});

const report = (processes = '', body = ''): string =>
  `<?xml version="1.0" ?>\n<nvidia_smi_log>${[0, 1]
    .map(
      (index) => `<gpu id="${busOf(index)}"><uuid>${uuidOf(index)}</uuid>
  <mig_mode><current_mig>Disabled</current_mig></mig_mode><accounting_mode>Disabled</accounting_mode>
  <fb_memory_usage><total>100 MiB</total><used>10 MiB</used></fb_memory_usage>
  <utilization><gpu_util>${50 - index} %</gpu_util></utilization>
  <gpu_power_readings><instant_power_draw>30.00 W</instant_power_draw>
  <current_power_limit>400.00 W</current_power_limit></gpu_power_readings>
  <processes>${index === 0 ? processes : ''}</processes></gpu>`,
    )
    .join('')}${body}</nvidia_smi_log>\n`;
const process = (pid: number, type: string): string =>
  `<process_info><pid>${pid}</pid><type>${type}</type>\n<process_name>x</process_name>\n<used_memory>5 MiB</used_memory></process_info>`;

describe('the way to ask', () => {
  const costs = (
    reportMs: number,
    queryMs: number,
    answer = report(process(5, 'C') + process(6, 'G')),
  ): Fake => ({
    gpu: (fields) => took(queryMs, done(gpuText(fields, [0, 1]))),
    apps: () => took(queryMs, done(APPS + app(0, 5))),
    report: () => took(reportMs, done(answer)),
  });
  /** After an inventory that cost so much: what each of three polls asks. */
  async function asked(fake: Fake, durationMs: number, bytes: number) {
    const made = rig(fake);
    made.poller.inventoried(inventory({ durationMs, bytes }));
    const polls: string[] = [];
    const readings = [];
    for (let poll = 0; poll < 3; poll += 1) {
      const before = made.calls.length;
      readings.push(await made.poller.poll([fact(0), fact(1)]));
      polls.push(
        kinds(made.calls.slice(before))
          .filter((kind) => kind !== 'pmon')
          .join(' '),
      );
    }
    return { ...made, polls, readings };
  }
  const QUERIES = '--query-gpu --query-compute-apps';

  const refused = done('Invalid combination of input arguments. Please run for help.\n', 2);
  it.each([
    ['devices', { gpu: () => refused }, '--query-gpu -q'],
    ['processes', { apps: () => refused }, `${QUERIES} -q`],
  ])('is the report where the tool has no query of %s', async (_what, without, first) => {
    const { polls, readings, poller, calls } = await asked({ ...costs(900, 10), ...without }, 900, 1_000_000);
    expect(polls).toEqual([first, '-q', '-q']);
    for (const { devices } of readings) {
      expect(reasons(devices)).toEqual(['ok', 'ok']);
      expect(devices[0]).toMatchObject({ utilisationPercent: 50, processes: [{ pid: 5 }, { pid: 6 }] });
    }
    poller.inventoried(inventory({ durationMs: 900, bytes: 1_000_000 }));
    await poller.poll([fact(0), fact(1)]);
    expect(kinds(calls).filter((kind) => kind === '--query-gpu')).toHaveLength(2);
  });

  it('is asked once where the report fails as well', async () => {
    const { polls, readings } = await asked({ gpu: () => refused, report: () => done('', 255) }, 900, 40_000);
    expect(polls).toEqual(['--query-gpu -q', '-q --query-gpu', '-q --query-gpu']);
    expect(reasons(readings[2]?.devices ?? [])).toEqual(['tool_failed', 'tool_failed']);
  });

  it('is one report where that takes less time than the queries, measured after each inventory', async () => {
    const { polls, readings, poller, calls } = await asked(costs(100, 90), 100, 40_000);
    expect(polls).toEqual([QUERIES, '-q', '-q']);
    expect(readings[2]?.devices).toEqual([
      {
        ...{ ok: true, uuid: uuidOf(0), utilisationPercent: 50, memoryUsedBytes: 10 * MIB },
        ...{ powerMilliwatts: 30_000, powerLimitMilliwatts: 400_000, partition: [] },
        processes: [
          {
            pid: 5,
            type: 'C',
            smPercent: null,
            memoryBytes: 5 * MIB,
            gpuInstance: null,
            computeInstance: null,
          },
          {
            pid: 6,
            type: 'G',
            smPercent: null,
            memoryBytes: 5 * MIB,
            gpuInstance: null,
            computeInstance: null,
          },
        ],
      },
      expect.objectContaining({ ok: true, utilisationPercent: 49, processes: [] }),
    ]);
    poller.inventoried(inventory({ durationMs: 500, bytes: 40_000 }));
    const before = calls.length;
    for (let poll = 0; poll < 2; poll += 1) await poller.poll([fact(0), fact(1)]);
    expect(kinds(calls.slice(before))).not.toContain('-q');
  });

  it('is the queries again once asking a report and reading it has taken longer', async () => {
    const slow = (): Executed => {
      advance(100);
      return took(100, done(report()));
    };
    const { calls, advance, poller } = rig({ ...costs(100, 90), report: slow });
    poller.inventoried(inventory({ durationMs: 100, bytes: 40_000 }));
    for (let poll = 0; poll < 4; poll += 1) await poller.poll([fact(0), fact(1)]);
    expect(kinds(calls).filter((kind) => kind === '-q')).toHaveLength(1);
  });

  it.each([
    ['takes longer', 300, 40_000],
    ['is hardly quicker', 170, 40_000],
    ['is long to read', 100, 400_000],
  ])('is the queries where a report %s', async (_why, durationMs, bytes) => {
    expect((await asked(costs(durationMs, 90), durationMs, bytes)).polls).toEqual([
      QUERIES,
      QUERIES,
      QUERIES,
    ]);
  });

  it.each([
    ['fails', { report: () => done('', 255) }],
    ['hangs', { report: () => done('', 0, 'timeout') }],
    ['is cut', { report: () => done(report().slice(0, -20)) }],
    ['may be forged', { report: () => done(report('', '<!-- <gpu> -->')) }],
  ] satisfies [string, Fake][])(
    'falls back within the poll when a report %s, and stays there',
    async (_why, fake) => {
      const { polls, readings } = await asked({ ...costs(10, 90), ...fake }, 10, 40_000);
      expect(polls).toEqual([QUERIES, `-q ${QUERIES}`, QUERIES]);
      for (const { devices } of readings) expect(reasons(devices)).toEqual(['ok', 'ok']);
    },
  );

  it('measures with a report alike: a device that it lacks is missing, a sick one is sick', async () => {
    const whole = report();
    const lacks =
      whole.slice(0, whole.indexOf('<gpu id', whole.indexOf('</gpu>'))) +
      whole.slice(whole.indexOf('</nvidia'));
    expect(reasons((await asked(costs(10, 90, lacks), 10, 40_000)).readings[2]?.devices ?? [])).toEqual([
      'ok',
      'device_missing',
    ]);
    const sick = whole.replace('50 %', 'GPU requires reset');
    expect(reasons((await asked(costs(10, 90, sick), 10, 40_000)).readings[2]?.devices ?? [])).toEqual([
      'device_error',
      'ok',
    ]);
    const blind = report('Insufficient Permissions');
    expect(reasons((await asked(costs(10, 90, blind), 10, 40_000)).readings[2]?.devices ?? [])).toEqual([
      'processes_unreadable',
      'ok',
    ]);
  });

  it('asks pmon beside a report where two share a device that works', async () => {
    const fake = costs(10, 90, report(process(5, 'C') + process(6, 'C')));
    const { calls, readings } = await asked(
      { ...fake, pmon: () => done(`${PMON}0 5 C 30 1 x\n0 6 C 20 1 x\n1 - - - - -\n`) },
      10,
      40_000,
    );
    expect(kinds(calls).slice(-2)).toEqual(['-q', 'pmon']);
    expect(readings[2]?.devices[0]).toMatchObject({ processes: [{ smPercent: 30 }, { smPercent: 20 }] });
  });

  it('asks a new driver for what an old one refused', async () => {
    let old = true;
    const { poller, calls } = rig({
      gpu: (fields) =>
        old && fields.includes('mig.mode.current')
          ? done('Field "mig.mode.current" is not a valid field to query.\n\n', 2)
          : done(gpuText(fields, [0])),
    });
    poller.inventoried(inventory(null, '384.1'));
    await poller.poll([fact(0)]);
    old = false;
    const fields = async (version: string) => {
      poller.inventoried(inventory(null, version));
      const before = calls.length;
      await poller.poll([fact(0)]);
      return calls[before]?.[0]?.includes('mig.mode.current');
    };
    expect([await fields('384.1'), await fields('580.1')]).toEqual([false, true]);
  });
});
