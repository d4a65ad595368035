/** What agents reported of the node-hours used last, decoded, so that judging an hour again costs no reading of it. */
import { isDeepStrictEqual } from 'node:util';
import { type BatchBody, HOUR_MS } from '../contract/batch.ts';
import type { DecodedHour } from '../domain/decode.ts';
import type { NodeHourKey } from '../store/batches.ts';
import type { LedgerReader } from '../store/ledger.ts';
import { personalDigests } from './load-hour.ts';
import { decodeHour, type HourOfNode } from './node-hour.ts';

/** Text of batches whose decoded form is kept in memory. */
const KEPT_CHARS = 64 * 1024 * 1024;
/** What a sealed batch is taken for. */
const SEALED_CHARS = 4096;

interface ReportedHour {
  readonly decoded: DecodedHour;
  /** How much there is to look at: its spans and processes. */
  readonly weight: number;
  /** What is stored of it beside the cells, as an opaque mark; null: nothing that is known of. */
  stored: string | null;
}

interface Kept {
  /** The last fact of the state that it was compared with. */
  comparedSeq: number;
  seq: number;
  chars: number;
  readonly bodies: BatchBody[];
  readonly digests: Set<string>;
  /** null: batches came since. */
  hour: ReportedHour | null;
  /** The digests whose text it was decoded with. */
  personal: string;
}

export interface HourCache {
  /** The hour as its batches are now. */
  read(reader: LedgerReader, hour: HourOfNode & NodeHourKey): ReportedHour;
}

export function createHourCache(): HourCache {
  const kept = new Map<string, Kept>();
  let chars = 0;

  const forget = (name: string): void => {
    chars -= kept.get(name)?.chars ?? 0;
    kept.delete(name);
  };

  /** Its batches, those that came since the last time added. */
  const upToDate = (reader: LedgerReader, key: NodeHourKey, known: Kept | undefined): Kept => {
    if (known?.comparedSeq === reader.seq) return known;
    const more =
      known === undefined ? null : reader.readHourSince(key, { seq: known.seq, count: known.bodies.length });
    const empty = {
      comparedSeq: 0,
      seq: 0,
      chars: 0,
      bodies: [],
      digests: new Set<string>(),
      hour: null,
      personal: '',
    };
    const entry = more === null || known === undefined ? empty : known;
    entry.comparedSeq = reader.seq;
    const batches = more ?? reader.readHour(key);
    if (batches.length === 0) return entry;
    const bodies = batches.map((batch): BatchBody => batch.decoded ?? JSON.parse(batch.body));
    entry.bodies.push(...bodies);
    for (const digest of personalDigests(bodies)) entry.digests.add(digest);
    for (const batch of batches) {
      entry.seq = Math.max(entry.seq, batch.seq);
      // The text of a sealed batch would have to be made first.
      entry.chars += batch.decoded === null ? batch.body.length : SEALED_CHARS;
    }
    entry.hour = null;
    return entry;
  };

  return {
    read(reader, hour) {
      const name = `${hour.node} ${hour.hourMs}`;
      const known = kept.get(name);
      forget(name);
      const entry = upToDate(reader, hour, known);
      kept.set(name, entry);
      chars += entry.chars;
      const personal = reader.readPersonal(entry.digests);
      // What a digest stands for never changes, but retention may erase it.
      const text = [...personal.keys()].join(' ');
      if (entry.hour === null || entry.personal !== text) {
        const own = decodeHour(hour, entry.bodies, personal);
        const beside = [hour.hourMs - HOUR_MS, hour.hourMs + HOUR_MS].flatMap(
          (hourMs) => kept.get(`${hour.node} ${hourMs}`)?.hour?.decoded.processes ?? [],
        );
        // Kept once, and known to be the same without a look at each.
        const decoded = {
          ...own,
          processes: beside.find((one) => isSame(one, own.processes)) ?? own.processes,
        };
        entry.hour = { decoded, weight: weightOf(decoded), stored: null };
        entry.personal = text;
      }
      for (const oldest of kept.keys()) {
        if (chars <= KEPT_CHARS || oldest === name) break;
        forget(oldest);
      }
      return entry.hour;
    },
  };
}

type Processes = DecodedHour['processes'];

/** The same processes in the same order. */
function isSame(a: Processes, b: Processes): boolean {
  if (a.size !== b.size) return false;
  const others = b.values();
  for (const process of a.values()) if (!isDeepStrictEqual(process, others.next().value)) return false;
  return true;
}

function weightOf({ spansByDevice, processes }: DecodedHour): number {
  let weight = processes.size;
  for (const spans of spansByDevice.values()) weight += spans.length;
  return weight;
}
