import { describe, expect, it } from 'vitest';
import type { Executed } from '../../collector/ports.ts';
import { readInventory } from '../../collector/sources/nvidia-smi.ts';

const config = { nvidiaSmi: 'nvidia-smi' };
const uuidOf = (index: number): string => `GPU-${String(index).repeat(8)}-0000-0000-0000-000000000000`;
const busOf = (index: number): string => `00000000:0${index}:00.0`;
const done = (stdout: string, exitCode = 0, failure: Executed['failure'] = null): Executed => ({
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
  exitCode: failure === null ? exitCode : null,
  failure,
  durationMs: 1,
});

describe('inventory', () => {
  const gpu = (index: number, body = ''): string =>
    `<gpu id="${busOf(index)}"><product_name>T</product_name><uuid>${uuidOf(index)}</uuid><minor_number>${7 - index}</minor_number>
     <accounting_mode>Enabled</accounting_mode><fb_memory_usage><total>100 MiB</total></fb_memory_usage>${body}</gpu>`;
  const log = (body: string): string =>
    `<?xml version="1.0" ?>\n<nvidia_smi_log><driver_version>570.1</driver_version>${body}</nvidia_smi_log>\n`;
  const read = (executed: Executed) => readInventory({ execute: async () => executed }, config);

  it('asks the query where the tool has no report', async () => {
    const calls: string[] = [];
    const inventory = await readInventory(
      {
        execute: async (_file, args) => {
          calls.push(args[0]?.split('=', 1)[0] ?? '');
          const fields = (args[0] ?? '').slice('--query-gpu='.length).split(',');
          if (args[0] === '-q') return done('Invalid combination of input arguments.\n', 2);
          if (fields.includes('accounting.mode'))
            return done('Field "accounting.mode" is not a valid field to query.\n\n', 2);
          const row: Record<string, string> = {
            index: '3',
            uuid: uuidOf(3),
            'pci.bus_id': busOf(3),
            name: 'T',
          };
          const cells = fields.map((field) => row[field] ?? '[N/A]');
          return done(`${fields.join(', ')}\n${cells.join(', ')}\n`);
        },
      },
      config,
    );
    expect(calls).toEqual(['-q', '--query-gpu', '--query-gpu']);
    expect(inventory).toMatchObject({
      devices: [{ uuid: uuidOf(3), index: 3, busId: busOf(3), model: 'T', memoryBytes: null, minor: null }],
      failure: null,
    });
    expect((await read(done('Invalid combination of input arguments.\n', 2))).devices).toBeNull();
  });

  it('reads devices by UUID', async () => {
    expect(
      await read(done(log(gpu(0) + gpu(1, '<mig_mode><current_mig>Enabled</current_mig></mig_mode>')))),
    ).toEqual({
      devices: [
        {
          uuid: uuidOf(0),
          index: 0,
          minor: 7,
          busId: busOf(0),
          model: 'T',
          memoryBytes: 100 * 1024 ** 2,
          migEnabled: false,
          ...{ powerLimitMilliwatts: null, slices: null, instances: [] },
        },
        {
          uuid: uuidOf(1),
          index: 1,
          minor: 6,
          busId: busOf(1),
          model: 'T',
          memoryBytes: 100 * 1024 ** 2,
          migEnabled: true,
          ...{ powerLimitMilliwatts: null, slices: 7, instances: [] },
        },
      ],
      driverVersion: '570.1',
      accountingMode: true,
      cost: { durationMs: 1, bytes: expect.any(Number) },
      failure: null,
      problems: [],
    });
  });

  it('is not changed by the name of a process', async () => {
    const named = (name: string) =>
      `<processes><process_info><pid>5</pid>\n<process_name>${name}</process_name>\n</process_info></processes>`;
    const hostile = log(gpu(0, named('<!--')) + gpu(1, named('--></gpu></nvidia_smi_log>')));
    const { devices, problems } = await read(done(hostile));
    expect([devices?.map(({ uuid }) => uuid), problems]).toEqual([[uuidOf(0), uuidOf(1)], []]);
  });

  it('keeps the rest when one is lost or described twice', async () => {
    const lost = '<gpu id="00000000:03:00.0"><uuid>GPU is lost</uuid></gpu>';
    const inventory = await read(done(log(gpu(0) + gpu(0) + lost), 15));
    expect(inventory.devices?.map((device) => device.uuid)).toEqual([uuidOf(0)]);
    expect(inventory.problems).toHaveLength(2);
  });

  it.each<[string, Executed, string]>([
    ['cut short', done(log(gpu(0) + gpu(1)).slice(0, -60)), 'tool_failed'],
    [
      'more devices than attached',
      done(log(`<attached_gpus>1</attached_gpus>${gpu(0)}${gpu(1)}`)),
      'tool_failed',
    ],
    ['no devices', done('No devices were found\n', 6), 'device_missing'],
    ['missing', done('', 0, 'missing'), 'tool_missing'],
    ['hung', done('', 0, 'timeout'), 'tool_timeout'],
  ])('%s: no inventory at all', async (_name, executed, reason) => {
    expect(await read(executed)).toMatchObject({ devices: null, failure: { reason } });
  });
});
