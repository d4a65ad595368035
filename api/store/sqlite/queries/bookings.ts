/** To whom jobs are charged, for questions: rules are asked of each job and day once, by functions that SQL calls. */
import type Database from 'better-sqlite3';
import { z } from 'zod';
import type { Booking } from '../../../contract/mapping.ts';
import { bookingOf, type Declared, type Mapping, mappingAt } from '../../../domain/mapping.ts';
import { createMappingReader } from '../mappings.ts';

const Attributes = z.record(z.string(), z.string());

/**
 * `booking(…)` of a job of `h` (holder, account and the day's start), as a number that `BookingSql` understands.
 * Join `jobs j`, its newest `job_versions v` and `sources s`.
 */
export const bookingCall = (day: string): string =>
  `booking(${day}, h.account, j.user_name, s.name, s.instance, json_extract(v.declares, '$.attributes'))`;
export const BOOKING_JOINS = `JOIN jobs j ON j.job = h.holder
  JOIN job_versions v ON v.job = j.job AND v.version = j.version JOIN sources s ON s.source = j.source`;

export interface BookingSql {
  /** Every version of the mapping. */
  mappings(): readonly Mapping[];
  /** What `booking()` answers within `work` is a number; `of` says what it stands for. */
  run<B extends readonly Booking[], R>(
    book: (declared: Declared, dayMs: number) => B,
    work: (of: (booked: number) => B) => R,
  ): R;
  /** The same with the rules that are in force; `booking_part(booked, 'account' | 'project' | 'costCentre')` is text. */
  inForce<R>(work: (of: (booked: number) => readonly [Booking]) => R): R;
}

export function createBookingSql(database: Database.Database): BookingSql {
  const mappings = createMappingReader(database);
  let answer: (declared: Declared, dayMs: number) => number = () => 0;
  let part: (booked: number) => Booking | undefined = () => undefined;
  database.function(
    'booking',
    (
      dayMs: number,
      account: string,
      user: string | null,
      source: string,
      sourceInstance: string,
      text: string | null,
    ) => {
      const attributes = text === null ? {} : Attributes.parse(JSON.parse(text));
      return answer({ account, user, source, sourceInstance, attributes }, dayMs);
    },
  );
  database.function('booking_part', (booked: number | null, member: keyof Booking) =>
    booked === null ? null : (part(booked)?.[member] ?? null),
  );

  const sql: BookingSql = {
    mappings,
    run(book, work) {
      const known: ReturnType<typeof book>[] = [];
      const numbers = new Map<string, number>();
      answer = (declared, dayMs) => {
        const booked = book(declared, dayMs);
        const key = JSON.stringify(booked);
        const number = numbers.get(key) ?? known.push(booked) - 1;
        numbers.set(key, number);
        return number;
      };
      part = (booked) => known[booked]?.[0];
      return work((booked) => {
        const found = known[booked];
        if (found === undefined) throw new Error(`nothing is booked as ${booked}`);
        return found;
      });
    },
    inForce(work) {
      const all = mappings();
      const book = (declared: Declared, dayMs: number) =>
        [bookingOf(mappingAt(all, dayMs)?.rules ?? [], declared)] as const;
      return sql.run(book, work);
    },
  };
  return sql;
}
