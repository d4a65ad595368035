// Whatever nvidia-smi's tables hold: what was printed is read, nothing else is, and damage stays where it is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAccountedApps } from '../../collector/sources/nvidia-smi/accounted-apps.ts';
import { parseComputeApps } from '../../collector/sources/nvidia-smi/compute-apps.ts';
import type { Problem } from '../../collector/sources/nvidia-smi/parsed.ts';
import { parseQueryGpu } from '../../collector/sources/nvidia-smi/query-gpu.ts';
import { milliwatts } from '../../collector/sources/nvidia-smi/values.ts';
import { hostileLine, NO_VALUES, printable } from './hostile.ts';

const RUNS = { numRuns: 200 };
const MIB = 1_048_576;

interface Column<Row> {
  readonly names: readonly string[];
  readonly unit: string;
  readonly of: (row: Row) => string;
}
interface Table {
  readonly header: string;
  readonly lines: readonly string[];
}
const textOf = ({ header, lines }: Table): string => [header, ...lines].map((line) => `${line}\n`).join('');

/** A number, or a text that stands for none. */
const reading = (max: number): fc.Arbitrary<number | string> =>
  fc.oneof({ weight: 4, arbitrary: fc.nat(max) }, { weight: 1, arbitrary: fc.constantFrom(...NO_VALUES) });
const cell = (value: number | string): string => String(value);
/** What a parser has to make of a reading: the number, or that there is none. */
const expected = (value: number | string, scale = 1): unknown =>
  typeof value === 'number' ? value * scale : { unknown: expect.any(String) };

const uuid = fc.uuid().map((text) => `GPU-${text}`);
const busId = fc
  .tuple(fc.nat(0xffff), fc.nat(0xff), fc.nat(0x1f))
  .map((parts) => parts.map((part) => part.toString(16).toUpperCase().padStart(2, '0')))
  .map(([domain = '', bus, device]) => `${domain.padStart(8, '0')}:${bus}:${device}.0`);

/** Columns in any order, each under one of its names, with or without units. */
function table<Row>(
  columns: readonly Column<Row>[],
  rows: fc.Arbitrary<Row[]>,
): fc.Arbitrary<{ rows: Row[]; table: Table }> {
  return fc
    .record({
      rows,
      order: fc.shuffledSubarray([...columns], { minLength: columns.length }),
      alias: fc.nat(),
      units: fc.boolean(),
    })
    .map(({ rows: made, order, alias, units }) => ({
      rows: made,
      table: {
        header: order
          .map(({ names, unit }) => `${names[alias % names.length]}${unit === '' ? '' : ` [${unit}]`}`)
          .join(', '),
        lines: made.map((row) =>
          order
            .map(({ of, unit }) =>
              units && unit !== '' && /^\d/.test(of(row)) ? `${of(row)} ${unit}` : of(row),
            )
            .join(', '),
        ),
      },
    }));
}

const gpuRow = fc.record({
  ...{
    uuid,
    busId,
    index: fc.nat(4095),
    util: reading(100),
    used: reading(200_000),
    watts: reading(150_000),
  },
  mig: fc.constantFrom('Enabled', 'Disabled', '[N/A]'),
});
type GpuRow = typeof gpuRow extends fc.Arbitrary<infer Row> ? Row : never;
const column = <Row>(names: string, unit: string, of: (row: Row) => string): Column<Row> => ({
  ...{ names: names.split(' '), unit, of },
});
const centi = (value: number | string): string =>
  typeof value === 'number' ? `${Math.floor(value / 100)}.${String(value % 100).padStart(2, '0')}` : value;
const GPU_COLUMNS: Column<GpuRow>[] = [
  column('uuid gpu_uuid', '', (row) => row.uuid),
  column('pci.bus_id gpu_bus_id', '', (row) => row.busId),
  column('index', '', (row) => String(row.index)),
  column('utilization.gpu', '%', (row) => cell(row.util)),
  column('memory.used', 'MiB', (row) => cell(row.used)),
  column('power.draw', 'W', (row) => centi(row.watts)),
  column('mig.mode.current', '', (row) => row.mig),
];
const gpuTable = table(GPU_COLUMNS, fc.array(gpuRow, { minLength: 1, maxLength: 9 }));
const gpuExpected = (row: GpuRow): unknown => ({
  ...{ uuid: row.uuid, busId: row.busId, index: row.index },
  utilisationPercent: expected(row.util),
  memoryUsedBytes: expected(row.used, MIB),
  powerMilliwatts: expected(row.watts, 10),
  migEnabled: row.mig === '[N/A]' ? { unknown: 'N/A' } : row.mig === 'Enabled',
});

const appRow = fc.record({
  uuid,
  busId,
  pid: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  memory: reading(99_999),
  name: printable,
});
type AppRow = typeof appRow extends fc.Arbitrary<infer Row> ? Row : never;
const APP_COLUMNS: Column<AppRow>[] = [
  column('gpu_uuid', '', (row) => row.uuid),
  column('gpu_bus_id', '', (row) => row.busId),
  column('pid', '', (row) => String(row.pid)),
  column('process_name name', '', (row) => row.name),
  column('used_gpu_memory used_memory', 'MiB', (row) => cell(row.memory)),
];
const appTable = table(APP_COLUMNS, fc.array(appRow, { maxLength: 9 }));

const accountedRow = fc.record({
  uuid,
  pid: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  util: reading(100),
  memory: reading(99_999),
  time: reading(10 ** 9),
});
type AccountedRow = typeof accountedRow extends fc.Arbitrary<infer Row> ? Row : never;
const ACCOUNTED_COLUMNS: Column<AccountedRow>[] = [
  column('gpu_uuid', '', (row) => row.uuid),
  column('pid', '', (row) => String(row.pid)),
  column('gpu_utilization gpu_util', '%', (row) => cell(row.util)),
  column('max_memory_usage', 'MiB', (row) => cell(row.memory)),
  column('time', 'ms', (row) => cell(row.time)),
];
const accountedTable = table(ACCOUNTED_COLUMNS, fc.array(accountedRow, { maxLength: 9 }));

describe('what was printed is read, in any order of columns and under any of their names', () => {
  it('query-gpu', () => {
    fc.assert(
      fc.property(gpuTable, ({ rows, table: printed }) => {
        const { devices, problems } = parseQueryGpu(textOf(printed));
        expect(devices).toMatchObject(rows.map(gpuExpected));
        expect(problems).toEqual([]);
      }),
      RUNS,
    );
  });

  it('query-compute-apps, whatever a process is called', () => {
    fc.assert(
      fc.property(appTable, ({ rows, table: printed }) => {
        const { processes, problems } = parseComputeApps(textOf(printed));
        expect(processes).toMatchObject(
          rows.map((row) => ({
            device: row.uuid,
            pid: row.pid,
            memoryBytes: expected(row.memory, MIB),
            busId: row.busId,
          })),
        );
        for (const [at, { name }] of processes.entries())
          if (typeof name === 'string') expect(name).toBe(rows[at]?.name.trim());
        expect(problems).toEqual([]);
      }),
      RUNS,
    );
  });

  it('query-accounted-apps', () => {
    fc.assert(
      fc.property(accountedTable, ({ rows, table: printed }) => {
        const { accounted, problems } = parseAccountedApps(textOf(printed));
        expect(accounted).toMatchObject(
          rows.map((row) => ({
            ...{ device: row.uuid, pid: row.pid, gpuUtilisationPercent: expected(row.util) },
            ...{ maxMemoryBytes: expected(row.memory, MIB), timeMs: expected(row.time) },
            running: typeof row.time === 'number' ? row.time === 0 : expected(row.time),
          })),
        );
        expect(problems).toEqual([]);
      }),
      RUNS,
    );
  });

  it('power, exactly', () => {
    fc.assert(
      fc.property(fc.nat(99_999), fc.integer({ min: 0, max: 999 }), (whole, thousandths) => {
        expect(milliwatts(`${whole}.${String(thousandths).padStart(3, '0')} W`)).toBe(
          whole * 1000 + thousandths,
        );
      }),
      RUNS,
    );
  });
});

interface Parser {
  readonly name: string;
  readonly tables: fc.Arbitrary<{ rows: unknown[]; table: Table }>;
  readonly rowsOf: (text: string) => {
    rows: readonly unknown[];
    problems: readonly Problem[];
    hasHeader: boolean;
  };
}
const PARSERS: Parser[] = [
  {
    name: 'query-gpu',
    tables: gpuTable,
    rowsOf: (text) => {
      const { devices: rows, problems, hasHeader } = parseQueryGpu(text);
      return { rows, problems, hasHeader };
    },
  },
  {
    name: 'query-compute-apps',
    tables: appTable,
    rowsOf: (text) => {
      const { processes: rows, problems, hasHeader } = parseComputeApps(text);
      return { rows, problems, hasHeader };
    },
  },
  {
    name: 'query-accounted-apps',
    tables: accountedTable,
    rowsOf: (text) => {
      const { accounted: rows, problems, hasHeader } = parseAccountedApps(text);
      return { rows, problems, hasHeader };
    },
  },
];

describe.each(PARSERS)('$name', ({ tables, rowsOf }) => {
  it('repeated headers and blank lines change nothing', () => {
    fc.assert(
      fc.property(tables, fc.array(fc.tuple(fc.nat(9), fc.boolean())), ({ table: printed }, extra) => {
        const lines = [...printed.lines];
        for (const [at, blank] of extra) lines.splice(at, 0, blank ? '  ' : printed.header);
        const damaged = rowsOf(textOf({ ...printed, lines }));
        expect(damaged).toEqual({ ...rowsOf(textOf(printed)), problems: [] });
      }),
      RUNS,
    );
  });

  it('a foreign line harms no row but itself, and is told', () => {
    fc.assert(
      fc.property(tables, fc.nat(9), hostileLine, ({ table: printed }, at, line) => {
        fc.pre(line.trim() !== '');
        const lines = [...printed.lines];
        const place = Math.min(at, lines.length);
        lines.splice(place, 0, line);
        const before = rowsOf(textOf(printed)).rows;
        const { rows, problems } = rowsOf(textOf({ ...printed, lines }));
        const added = rows.length - before.length;
        expect([0, 1]).toContain(added);
        expect(rows.toSpliced(place, added)).toEqual(before);
        if (added === 0) expect(problems).not.toEqual([]);
      }),
      RUNS,
    );
  });

  it('whole lines of an answer that was cut are a part of the whole one', () => {
    fc.assert(
      fc.property(tables, fc.nat(), ({ table: printed }, cut) => {
        const text = textOf(printed);
        const part = text.slice(0, cut % (text.length + 1));
        const { rows, hasHeader } = rowsOf(part.slice(0, part.lastIndexOf('\n') + 1));
        expect(rows).toEqual(rowsOf(text).rows.slice(0, rows.length));
        if (!hasHeader) expect(rows).toEqual([]);
      }),
      RUNS,
    );
  });

  it('of any text at all, it makes no number that is not there, and says little', () => {
    const anyText = fc.array(
      fc.oneof(
        hostileLine,
        tables.map(({ table: printed }) => textOf(printed)),
      ),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(anyText, (pieces) => {
        const text = pieces.join('\n');
        const { rows, problems } = rowsOf(text);
        expect(rowsOf(text)).toEqual({ rows, problems, hasHeader: expect.any(Boolean) });
        expect(rows.length).toBeLessThanOrEqual(text.split('\n').length);
        expect(problems.length).toBeLessThanOrEqual(257);
        for (const { message } of problems) expect(message.length).toBeLessThanOrEqual(300);
        const known = new Set((text.match(/\d+/g) ?? []).map(BigInt));
        for (const [key, value] of rows.flatMap((row) => Object.entries(row ?? {}))) {
          if (typeof value !== 'number') continue;
          const whole = BigInt(Math.trunc(Math.abs(value)));
          const printed = /Bytes$/.test(key)
            ? [whole, whole / 1024n, whole / BigInt(MIB), whole / BigInt(MIB * 1024)]
            : [whole, whole / 1000n];
          expect(
            printed.some((number) => known.has(number)),
            `${key} ${value}`,
          ).toBe(true);
        }
      }),
      RUNS,
    );
  });
});
