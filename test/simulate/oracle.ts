/**
 * What an honest ledger of a scenario may say, and what it must: bounds for each process, job and device. It knows the
 * truth from the scenario and shares no code with the product.
 */
import type { Boot, Built } from '../replay/build.ts';
import { jobsOf } from '../replay/build-jobs.ts';
import { truthAt } from '../replay/truth.ts';
import { type SimProcess, startTicks } from '../simulator/model.ts';
import { holdersOf } from './holders.ts';
import { jobKey, NO_JOB, processKey, tripleOf } from './keys.ts';
import {
  blindness,
  edgeZones,
  liesAbout,
  overlapMs,
  type Piece,
  piecesOf,
  slackMs,
  union,
  type Zone,
} from './zones.ts';

/** Milliseconds, both ends allowed. */
export interface Bounds {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Expected {
  /** By device UUID. */
  readonly unobserved: ReadonlyMap<string, Bounds>;
  /** By `tripleOf`: what executed for a job, or for none. */
  readonly uses: ReadonlyMap<string, Bounds>;
  /** By `tripleOf` of what no job covers: how long it may be said to have been there, executing or not. */
  readonly present: ReadonlyMap<string, Bounds>;
  /** By device UUID: how much may be unaccounted without a process to name. */
  readonly nameless: ReadonlyMap<string, number>;
}

/** What readings in whole percents, and the noise of some loads, leave open. */
const RELATIVE = 0.03;
const ABSOLUTE_MS = 500;

interface Sum {
  lowMs: number;
  highMs: number;
}

export function expectationsOf(built: Built): Expected {
  const jobs = jobsOf(built.scenario);
  const keys = new Map(
    [...jobs].map(([name, job]) => [name, jobKey(job.source, job.id ?? name, job.incarnation)]),
  );
  const policed = [built.scenario.policy].flat().flatMap(({ exemptions }) => exemptions)[0];
  const uses = new Map<string, Sum>();
  const present = new Map<string, Sum>();
  const unobserved = new Map<string, Bounds>();
  const holdings = holdersOf(built);
  const nameless = new Map<string, number>();
  for (const boots of built.boots.values()) {
    for (const boot of boots) {
      for (const { uuid, index } of boot.node.devices) {
        const seen = blindness(built, boot.node.name, index);
        unobserved.set(uuid, { fromMs: totalMs(seen.surely), toMs: totalMs(seen.maybe) });
        const zones = union([...seen.maybe, ...edgeZones(built, boot.node, index, seen.maybe)]);
        const pieces = piecesOf(built, boot, index);
        const isFree = holdings.get(uuid)?.length === 0;
        const sums = sumUses(built, boot, pieces, zones, isFree, (is, job) => {
          if (is === 'declared') return keys.get(job ?? '') ?? NO_JOB;
          return is === 'overhead' && policed !== undefined ? jobKey('policy', policed.id, 0) : NO_JOB;
        });
        for (const { process, job, executing, there } of sums) {
          const key = tripleOf(
            uuid,
            processKey(boot.node.bootId, process.pid, startTicks(boot.node, process)),
            job,
          );
          add(uses, key, executing);
          if (job === NO_JOB) add(present, key, there);
        }
        const anybody = sums
          .filter(({ job }) => job === NO_JOB)
          .reduce((sum, { unsureMs }) => sum + unsureMs, 0);
        const lied = totalMs(liesAbout(built, boot.node.name, index));
        nameless.set(uuid, (nameless.get(uuid) ?? 0) + anybody + lied);
      }
    }
  }
  return { uses: widened(uses), present: widened(present), unobserved, nameless };
}

const totalMs = (zones: readonly Zone[]): number =>
  zones.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);

interface Summed {
  readonly process: SimProcess;
  readonly job: string;
  readonly executing: Sum;
  readonly there: Sum;
  /** Of the time around it in which nobody can be sure. */
  readonly unsureMs: number;
}

/**
 * Each process of a device by whom it computes for. Where an observer can be sure, what it executes is what it executes;
 * in each stretch where none can be, it may be said to have had all or nothing of that, if it was there at all.
 */
function sumUses(
  built: Built,
  boot: Boot,
  pieces: readonly Piece[],
  zones: readonly Zone[],
  isFree: boolean,
  whose: (is: string, job: string | null) => string,
): Summed[] {
  const found = new Map<
    string,
    { process: SimProcess; job: string; executing: Sum; there: Sum; near: Set<Zone> }
  >();
  for (const piece of pieces) {
    for (const { process, smPercent, sevenths } of piece.uses) {
      const { is, job } = truthAt(built.truths.get(process), (piece.fromMs + piece.toMs) / 2);
      const key = whose(is, job);
      const id = `${process.pid} ${process.startMs} ${key}`;
      const one = found.get(id) ?? {
        process,
        job: key,
        executing: none(),
        there: none(),
        near: new Set<Zone>(),
      };
      found.set(id, one);
      const sureMs = piece.toMs - piece.fromMs - overlapMs(zones, piece);
      const executedMs = sevenths > 0 ? 0 : (sureMs * smPercent) / 100;
      one.executing.lowMs += executedMs;
      one.executing.highMs += executedMs;
      // Of what no job holds, somebody without a job who is alone there has all; of an instance, what it is.
      const thereMs = sevenths > 0 ? (sureMs * sevenths) / 7 : sureMs;
      one.there.highMs += thereMs;
      if (sevenths > 0 || (isFree && piece.uses.length === 1)) one.there.lowMs += thereMs;
      for (const zone of zones) if (zone.fromMs < piece.toMs && piece.fromMs < zone.toMs) one.near.add(zone);
    }
  }
  const life = {
    fromMs: Math.max(built.startMs, boot.fromMs),
    toMs: Math.min(built.endMs, boot.toMs) + 4 * slackMs(built),
  };
  return [...found.values()].map(({ process, job, executing, there, near }) => {
    const unsureMs = [...near].reduce((sum, zone) => sum + overlapMs([zone], life), 0);
    executing.highMs += unsureMs;
    there.highMs += unsureMs;
    return { process, job, executing, there, unsureMs };
  });
}

const none = (): Sum => ({ lowMs: 0, highMs: 0 });

function add(sums: Map<string, Sum>, key: string, { lowMs, highMs }: Sum): void {
  const sum = sums.get(key) ?? none();
  sums.set(key, { lowMs: sum.lowMs + lowMs, highMs: sum.highMs + highMs });
}

const widened = (sums: ReadonlyMap<string, Sum>): Map<string, Bounds> =>
  new Map(
    [...sums].map(([key, { lowMs, highMs }]) => [
      key,
      { fromMs: lowMs * (1 - RELATIVE) - ABSOLUTE_MS, toMs: highMs * (1 + RELATIVE) + ABSOLUTE_MS },
    ]),
  );
