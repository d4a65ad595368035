/**
 * Asks pmon, where it has something to say: how a device's work is divided, and which processes only draw. A device with
 * a single process needs neither at every poll.
 */
import type { Executed } from '../../ports.ts';
import { type Answer, failureOf, wholeLines } from './call.ts';
import { type ParsedProcess, UNKNOWN_PROCESS, unknown } from './parsed.ts';
import { type PmonOutput, parsePmon } from './pmon.ts';

export interface MeasuredDevice {
  readonly uuid: string;
  readonly index: number;
  readonly utilisationPercent: number;
  /** Of the list of contexts, in this poll. */
  readonly pids: ReadonlySet<number>;
}

export interface Shares {
  /** `listed`: the contexts include those that only draw, with their types; only shares are asked for. */
  ask(devices: readonly MeasuredDevice[], nowMs: number, listed: boolean): Promise<PmonOutput>;
  /** What this driver refused may be asked again. */
  retry(): void;
}

/** Processes that only draw are in no list of contexts; every device is looked at for them this often. */
const LOOK_AGAIN_MS = 30_000;
/** Old pmon reads no more devices at once and leaves the others out silently. */
const FEW_DEVICES = 4;

interface Seen {
  /** Contexts when pmon was asked: a process that pmon does not show is not asked for again and again. */
  readonly pids: ReadonlySet<number>;
  readonly types: ReadonlyMap<number, string>;
  /** pmon showed one that the contexts lack. */
  readonly others: boolean;
}

export function createShares(smi: (args: readonly string[]) => Promise<Executed>): Shares {
  const seen = new Map<string, Seen>();
  let batch = Number.POSITIVE_INFINITY;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let refused = false;

  function wanted(device: MeasuredDevice, due: boolean, listed: boolean): boolean {
    const { pids, utilisationPercent } = device;
    const divided = pids.size > 1 && utilisationPercent > 0;
    if (listed) return divided;
    const before = seen.get(device.uuid);
    if (due || divided || before === undefined || before.others) return true;
    // Work that no context explains may be drawing.
    if (pids.size === 0 && utilisationPercent > 0) return true;
    return [...pids].some((pid) => !before.pids.has(pid));
  }

  /** All devices in one call; if this driver leaves some out, in small batches from then on. */
  async function pmon(indexes: readonly number[]): Promise<Answer<PmonOutput>> {
    const outputs: PmonOutput[] = [];
    const missing = new Set(indexes);
    for (let round = 0; round < 2 && missing.size > 0; round += 1) {
      const left = [...missing];
      const size = Math.min(batch, left.length);
      for (let from = 0; from < left.length; from += size) {
        const executed = await smi(['pmon', '-c', '1', '-i', left.slice(from, from + size).join(',')]);
        const output = parsePmon(wholeLines(executed).text);
        if (executed.failure !== null || !output.hasHeader)
          return { ok: false, ...failureOf(executed, output.problems) };
        outputs.push(output);
        for (const index of output.indexes) missing.delete(index);
      }
      const leftOut = missing.size > 0 && missing.size < indexes.length;
      if (!leftOut || batch <= FEW_DEVICES || indexes.length <= FEW_DEVICES) break;
      batch = FEW_DEVICES;
    }
    const absent = [...missing].map((index) => ({
      line: null,
      device: null,
      message: `device ${index} left out`,
      fault: false,
    }));
    return {
      ok: true,
      output: {
        processes: outputs.flatMap((output) => output.processes),
        indexes: indexes.filter((index) => !missing.has(index)),
        hasHeader: true,
        problems: [...outputs.flatMap((output) => output.problems), ...absent],
      },
    };
  }

  /** A process keeps its type while it is not asked for. */
  function remembered({ uuid, index, pids }: MeasuredDevice): ParsedProcess[] {
    const types = seen.get(uuid)?.types;
    return [...pids].flatMap((pid) => {
      const type = types?.get(pid);
      const row = { ...UNKNOWN_PROCESS, device: String(index), pid, smPercent: unknown('not asked') };
      return type === undefined ? [] : [{ ...row, type }];
    });
  }

  function remember(devices: readonly MeasuredDevice[], { processes }: PmonOutput): void {
    for (const { uuid, index, pids } of devices) {
      const types = new Map(seen.get(uuid)?.types);
      for (const pid of types.keys()) if (!pids.has(pid)) types.delete(pid);
      let others = false;
      for (const row of processes) {
        if (row.device !== String(index) || typeof row.pid !== 'number') continue;
        if (!pids.has(row.pid)) others = true;
        else if (typeof row.type === 'string') types.set(row.pid, row.type);
      }
      seen.set(uuid, { pids, types, others });
    }
  }

  return {
    retry: () => {
      refused = false;
      // What is gone from the inventory need not be remembered.
      seen.clear();
    },
    async ask(devices, nowMs, listed) {
      const due = nowMs - lookedMs >= LOOK_AGAIN_MS;
      const asked = refused ? [] : devices.filter((device) => wanted(device, due, listed));
      const kept = devices.filter((device) => !asked.includes(device));
      const empty: PmonOutput = { processes: [], indexes: [], hasHeader: true, problems: [] };
      const answer: Answer<PmonOutput> =
        asked.length === 0 ? { ok: true, output: empty } : await pmon(asked.map(({ index }) => index));
      if (answer.ok) {
        remember(asked, answer.output);
        if (due && !listed) lookedMs = nowMs;
      }
      // A board that it does not support today will not be supported at the next poll.
      else if (/not supported/i.test(answer.detail)) refused = true;
      const { output, silent } = answer.ok
        ? { output: answer.output, silent: kept }
        : { output: { ...empty, problems: [complaint(answer.detail)] }, silent: devices };
      const processes = [...output.processes, ...(listed ? [] : silent.flatMap(remembered))];
      return { ...output, processes };
    },
  };
}

const complaint = (message: string) => ({ line: null, device: null, message, fault: false });
