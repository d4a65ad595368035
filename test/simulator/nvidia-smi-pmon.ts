/** `nvidia-smi pmon -c 1`: one tick, with the columns of its driver and the header again after every 44 rows. */
import { latest } from './model.ts';
import { driverBranch } from './nvidia-smi-fields.ts';
import type { DeviceTenant, NodeState } from './snapshot.ts';

interface Columns {
  readonly head: string;
  readonly units: string;
  readonly count: number;
}
interface Layout {
  readonly head: string;
  readonly units: string;
  /** By the letter of `-s`; columns follow the order of the letters. */
  readonly groups: Readonly<Record<string, Columns>>;
  readonly command: string;
  readonly name: string;
  /** Widths of index, pid, type and each value. */
  readonly widths: readonly [number, number, number, number];
  readonly gap: string;
}

const WIDE: Layout = {
  head: '# gpu         pid   type',
  units: '# Idx           #    C/G',
  groups: {
    u: {
      head: '     sm    mem    enc    dec    jpg    ofa',
      units: '      %      %      %      %      %      %',
      count: 6,
    },
    m: { head: '     fb   ccpm', units: '     MB     MB', count: 2 },
  },
  command: '    command \n',
  name: '    name \n',
  widths: [5, 11, 6, 7],
  gap: '    ',
};
/** Drivers before 550. */
const NARROW: Layout = {
  head: '# gpu        pid  type',
  units: '# Idx          #   C/G',
  groups: {
    u: { head: '    sm   mem   enc   dec', units: '     %     %     %     %', count: 4 },
    m: { head: '    fb', units: '    MB', count: 1 },
  },
  command: '   command\n',
  name: '   name\n',
  widths: [5, 11, 6, 6],
  gap: '   ',
};
const WIDE_FROM = 550;
const COMMAND_CHARS = 15;
/** Data rows between two headers, in the middle of a tick or not. */
const PMON_HEADER_EVERY = 44;

export function renderPmon(state: NodeState, args: readonly string[]): string {
  const layout = driverBranch(state.node.driverVersion) < WIDE_FROM ? NARROW : WIDE;
  const groups = [...(optionValue(args, '-s') ?? 'u')].flatMap((letter) => {
    const columns = layout.groups[letter];
    return columns === undefined ? [] : [{ letter, ...columns }];
  });
  const only = optionValue(args, '-i')?.split(',') ?? null;
  const header =
    layout.head +
    groups.map(({ head }) => head).join('') +
    layout.command +
    layout.units +
    groups.map(({ units }) => units).join('') +
    layout.name;
  const [indexWidth, pidWidth, typeWidth, width] = layout.widths;
  const rows: string[] = [];
  for (const { device, fault, tenants } of state.devices) {
    if (fault === 'lost' || fault === 'gone' || (only !== null && !only.includes(String(device.index))))
      continue;
    const row = (pid: string, type: string, values: readonly string[], command: string): number =>
      rows.push(
        `${String(device.index).padStart(indexWidth)}${pid.padStart(pidWidth)}${type.padStart(typeWidth)}${values
          .map((value) => value.padStart(width))
          .join('')}${layout.gap}${command.padEnd(COMMAND_CHARS)}\n`,
      );
    if (tenants.length === 0)
      row('-', '-', Array(groups.reduce((sum, { count }) => sum + count, 0)).fill('-'), '-');
    for (const tenant of tenants) {
      const { process, use } = tenant;
      const values = groups.flatMap(({ letter, count }) =>
        (letter === 'u' ? shares(tenant, device.instances !== undefined) : [String(use.memoryMiB), '0'])
          .concat(Array(count).fill('-'))
          .slice(0, count),
      );
      row(
        String(process.pid),
        use.type,
        values,
        latest(process.images, state.atMs).comm.slice(0, COMMAND_CHARS),
      );
    }
  }
  let text = header;
  for (const [at, row] of rows.entries()) text += at > 0 && at % PMON_HEADER_EVERY === 0 ? header + row : row;
  return text;
}

/** `-` is "no sample": a context that ran nothing, or one on a divided device. */
const shares = ({ smPercent }: DeviceTenant, divided: boolean): string[] =>
  smPercent === 0 || divided ? [] : [String(smPercent), String(Math.floor(smPercent / 3))];

function optionValue(args: readonly string[], option: string): string | undefined {
  const at = args.indexOf(option);
  return at === -1 ? undefined : args[at + 1];
}
