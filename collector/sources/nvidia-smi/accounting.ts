/**
 * What the driver's accounting says between two polls. Its rows stay in a buffer of 4,000 a device (the oldest is
 * overwritten, and so is an ended process by a later one with its pid), so a process has ended since the poll before
 * when its row was not there then. Pure, with a memory of the answer before: a full buffer of eight devices is 2 MB,
 * and next to nothing of it changes.
 */
import type { EndedProcess, ReadingProblem } from '../../reading.ts';
import { parseAccountedApps } from './accounted-apps.ts';
import { lineDifference } from './line-difference.ts';
import type { AccountedProcess } from './parsed.ts';

/** No times and names among them: the row of an ended process never changes, so that lines can be compared as they are. */
export const ACCOUNTED_FIELDS = ['gpu_uuid', 'pid', 'gpu_util', 'max_memory_usage', 'time'] as const;

export interface Accounting {
  /** `enabled`: the devices whose accounting mode is on. `answer`: whole, with whole lines. */
  take(enabled: ReadonlySet<string>, answer: Buffer): { ended: EndedProcess[]; problems: ReadingProblem[] };
  /** Of other devices nothing that was known counts any more: the mode is off there, or they were away. */
  keep(enabled: ReadonlySet<string>): void;
}

const SOURCE = 'nvidia-smi accounted-apps';
const RUNNING = /, 0 ms$/;
/** More than this do not end between two polls; what a reading can hold. */
const MAX_ENDED = 4096;

const known = (value: AccountedProcess['timeMs']): number | null =>
  typeof value === 'number' ? value : null;
const deviceOf = (line: string): string => line.slice(0, Math.max(0, line.indexOf(',')));

export function createAccounting(): Accounting {
  let before: Buffer = Buffer.alloc(0);
  let header = '';
  /** Devices whose rows are all in `before`. */
  let watched: ReadonlySet<string> = new Set();

  const parse = (lines: Iterable<string>) => parseAccountedApps([header, ...lines].join('\n'));

  /** Devices that had ended processes of which none is left: somebody cleared the list, or switched the mode. */
  function emptied(after: Buffer, removed: ReadonlySet<string>, added: ReadonlySet<string>): Set<string> {
    const had = new Set([...removed].filter((line) => !RUNNING.test(line)).map(deviceOf));
    for (const uuid of had) if (!watched.has(uuid)) had.delete(uuid);
    if (had.size === 0) return had;
    for (const line of after.toString('latin1').split('\n')) {
      if (had.size === 0) return had;
      const uuid = deviceOf(line);
      if (had.has(uuid) && !RUNNING.test(line.trimEnd()) && !added.has(line.trimEnd())) had.delete(uuid);
    }
    // Few rows can all have been replaced by later processes with the same pids.
    const pids = new Set(parse(removed).accounted.map(({ device, pid }) => `${device} ${pid}`));
    for (const { device, pid } of parse(added).accounted)
      if (typeof device === 'string' && pids.has(`${device} ${pid}`)) had.delete(device);
    return had;
  }

  return {
    keep(enabled) {
      watched = new Set([...watched].filter((uuid) => enabled.has(uuid)));
    },
    take(enabled, answer) {
      const { removed, added } = lineDifference(before, answer);
      header = [...added].find((line) => line.startsWith(ACCOUNTED_FIELDS[0])) ?? header;
      added.delete(header);
      const { accounted, problems: found } = parse(added);
      const gone = emptied(answer, removed, added);
      const problems = found.map(
        ({ device, message }): ReadingProblem => ({ source: SOURCE, device, message }),
      );
      for (const device of gone) {
        const message = 'the list of ended processes was emptied: what ended meanwhile is not known';
        problems.push({ source: SOURCE, device, message });
      }
      const ended: EndedProcess[] = [];
      for (const row of accounted) {
        const { device, pid, timeMs: openMs } = row;
        if (typeof device !== 'string' || typeof pid !== 'number' || typeof openMs !== 'number') continue;
        const since = enabled.has(device) && watched.has(device) && !gone.has(device);
        if (openMs <= 0 || !since || ended.length >= MAX_ENDED) continue;
        const busy = known(row.gpuUtilisationPercent);
        const busyPercent = busy !== null && busy >= 0 && busy <= 100 ? busy : null;
        ended.push({ device, pid, openMs, busyPercent, maxMemoryBytes: known(row.maxMemoryBytes) });
      }
      before = answer;
      watched = enabled;
      return { ended, problems };
    },
  };
}
