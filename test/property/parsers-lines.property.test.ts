// pmon and the list of nvidia-smi: what was printed is read, and no name or damage changes anybody else's.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseList } from '../../collector/sources/nvidia-smi/list.ts';
import { parsePmon } from '../../collector/sources/nvidia-smi/pmon.ts';
import { hostileLine, printable } from './hostile.ts';

const RUNS = { numRuns: 200 };
const MIB = 1_048_576;
const MAX_PID = 2 ** 31 - 1;

const share = fc.option(fc.nat(100));
const monitorRow = fc.record({
  index: fc.nat(15),
  pid: fc.integer({ min: 1, max: MAX_PID }),
  type: fc.constantFrom('C', 'G', 'C+G', 'M+C'),
  sm: share,
  fb: fc.nat(200_000),
  others: fc.array(share, { minLength: 6, maxLength: 6 }),
  // The kernel keeps 15 bytes of a name, of any kind but NUL.
  command: fc.oneof(printable, fc.stringMatching(/^[\n a-c0-9-]{0,15}$/)).map((text) => text.slice(0, 15)),
});
const OTHERS: readonly string[] = ['mem', 'enc', 'dec', 'jpg', 'ofa', 'ccpm'];
const monitor = fc.record({
  rows: fc.uniqueArray(monitorRow, { selector: ({ index, pid }) => `${index} ${pid}`, maxLength: 12 }),
  columns: fc.shuffledSubarray(['sm', 'fb', ...OTHERS], { minLength: 4 }),
});
type Monitor = typeof monitor extends fc.Arbitrary<infer T> ? T : never;

function printMonitor({ rows, columns }: Monitor): { header: string[]; lines: string[] } {
  const units = columns.map((name) => (name === 'fb' || name === 'ccpm' ? 'MB' : '%'));
  return {
    header: [
      `# gpu         pid   type ${columns.map((name) => name.padStart(6)).join(' ')}    command `,
      `# Idx           #    C/G ${units.map((unit) => unit.padStart(6)).join(' ')}    name `,
    ],
    lines: rows.map((row) => {
      const values = columns.map((name) => {
        if (name === 'fb') return String(row.fb);
        const value = name === 'sm' ? row.sm : row.others[OTHERS.indexOf(name)];
        return String(value ?? '-');
      });
      const cells = values.map((value) => value.padStart(6)).join(' ');
      const start = `${String(row.index).padStart(5)} ${String(row.pid).padStart(10)} ${row.type.padStart(5)}`;
      return `${start} ${cells}    ${row.command.padEnd(15)}`;
    }),
  };
}
const monitorExpected = ({ rows, columns }: Monitor): object[] =>
  rows.map((row) => ({
    ...{ device: String(row.index), pid: row.pid, type: row.type },
    smPercent: columns.includes('sm') && row.sm !== null ? row.sm : { unknown: expect.any(String) },
    memoryBytes: columns.includes('fb') ? row.fb * MIB : { unknown: expect.any(String) },
  }));
const joined = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

describe('pmon', () => {
  it('has what was printed, in any order of columns and whatever a process is called', () => {
    fc.assert(
      fc.property(monitor, (model) => {
        const { header, lines } = printMonitor(model);
        const { processes, indexes } = parsePmon(joined([...header, ...lines]));
        expect(processes).toMatchObject(monitorExpected(model));
        expect(indexes).toEqual([...new Set(model.rows.map(({ index }) => index))].sort((a, b) => a - b));
      }),
      RUNS,
    );
  });

  it('repeated headers change nothing, and a foreign line changes no row', () => {
    fc.assert(
      fc.property(monitor, fc.array(fc.nat(12)), fc.nat(12), hostileLine, (model, repeats, at, line) => {
        // A line that begins as a header or a row does is one: the tool prints nothing of the kind by itself.
        fc.pre(line.trim() !== '' && !/^\s*(?:#|\d)/.test(line));
        const { header, lines } = printMonitor({
          ...model,
          rows: model.rows.map((row) => ({ ...row, command: 'x' })),
        });
        const before = parsePmon(joined([...header, ...lines]));
        const more = [...lines];
        more.splice(at, 0, line);
        for (const place of repeats) more.splice(place, 0, ...header);
        const after = parsePmon(joined([...header, ...more]));
        expect(after.processes).toEqual(before.processes);
        expect(after.indexes).toEqual(before.indexes);
        expect(after.problems).toHaveLength(1);
      }),
      RUNS,
    );
  });

  it('of an answer that was cut it has a part, with the half row told or left out', () => {
    fc.assert(
      fc.property(monitor, fc.nat(), (model, cut) => {
        const { header, lines } = printMonitor({
          ...model,
          rows: model.rows.map((row) => ({ ...row, command: 'x' })),
        });
        const text = joined([...header, ...lines]);
        const whole = parsePmon(text);
        const part = parsePmon(text.slice(0, cut % (text.length + 1)));
        const values = (from: typeof part): unknown[] =>
          from.processes.map((row) => ({ ...row, name: null }));
        expect(values(part)).toEqual(values(whole).slice(0, part.processes.length));
        expect(part.problems.length).toBeLessThanOrEqual(1);
      }),
      RUNS,
    );
  });

  it('of any text it makes no process without a header, and no number that is not there', () => {
    const anyText = fc.array(
      fc.oneof(
        hostileLine,
        monitor.map((model) => joined(Object.values(printMonitor(model)).flat())),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(anyText, (pieces) => {
        const text = pieces.join('\n');
        const { processes, indexes, hasHeader, problems } = parsePmon(text);
        if (!hasHeader) expect([processes, indexes]).toEqual([[], []]);
        const numbers = new Set((text.match(/\d+/g) ?? []).map(Number));
        for (const row of processes)
          for (const value of [row.pid, row.smPercent, Number(row.device)])
            if (typeof value === 'number') expect(numbers).toContain(Math.trunc(Math.abs(value)));
        expect(problems.length).toBeLessThanOrEqual(257);
      }),
      RUNS,
    );
  });
});

const listed = fc.array(
  fc.record({
    uuid: fc.uuid().map((text) => `GPU-${text}`),
    model: fc.stringMatching(/^[A-Za-z][A-Za-z0-9 ()-]{0,30}[A-Za-z0-9]$/),
    instances: fc.array(
      fc.record({
        uuid: fc.uuid().map((text) => `MIG-${text}`),
        profile: fc.stringMatching(/^[1-7]g\.\d{1,3}gb$/),
      }),
      { maxLength: 7 },
    ),
  }),
  { maxLength: 8 },
);
type Listed = typeof listed extends fc.Arbitrary<infer T> ? T : never;
const listLines = (devices: Listed): string[] =>
  devices.flatMap(({ uuid, model, instances }, index) => [
    `GPU ${index}: ${model} (UUID: ${uuid})`,
    ...instances.map(
      (one, at) => `  MIG ${one.profile.padEnd(11)} Device ${String(at).padStart(2)}: (UUID: ${one.uuid})`,
    ),
  ]);

describe('the list', () => {
  it('has what was printed, and foreign lines change nothing of it', () => {
    fc.assert(
      fc.property(listed, hostileLine, fc.nat(20), (devices, line, at) => {
        fc.pre(line.trim() !== '');
        const lines = listLines(devices);
        const { devices: read, problems } = parseList(joined(lines));
        expect(problems).toEqual([]);
        expect(read).toMatchObject(
          devices.map(({ uuid, model, instances }, index) => ({
            ...{ index, uuid, model },
            migInstances: instances.map((one, place) => ({
              index: place,
              uuid: one.uuid,
              profile: one.profile,
            })),
          })),
        );
        const more = [...lines];
        more.splice(at, 0, line);
        const again = parseList(joined(more));
        expect(again.devices).toEqual(read);
        expect(again.problems).toHaveLength(1);
      }),
      RUNS,
    );
  });

  it('that is cut is a part, and the half line is told', () => {
    fc.assert(
      fc.property(listed, fc.nat(), (devices, cut) => {
        const text = joined(listLines(devices));
        const part = parseList(text.slice(0, cut % (text.length + 1)));
        const uuids = (from: typeof part): unknown[] =>
          from.devices.flatMap(({ uuid, migInstances }) => [uuid, ...migInstances.map((one) => one.uuid)]);
        const all = uuids(parseList(text));
        expect(uuids(part)).toEqual(all.slice(0, uuids(part).length));
        expect(part.problems.length).toBeLessThanOrEqual(1);
      }),
      RUNS,
    );
  });
});
