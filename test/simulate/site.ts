/**
 * A site that is being made up: a scenario in the form in which people write it, and what of it is still free. Plots
 * (one story each, on GPUs of its own) put their parts into it.
 */
import type { z } from 'zod';
import type { Scenario } from '../replay/format.ts';
import type { Random } from '../simulator/random.ts';

/** A scenario as it stands in a file. */
export type Document = z.input<typeof Scenario>;
export type Part<Name extends 'jobs' | 'processes' | 'nodes'> = NonNullable<Document[Name]>[string];
export type Fault = NonNullable<Document['faults']>[number];

/** GPUs of one node that a plot has for itself. */
export interface Place {
  readonly node: string;
  readonly gpus: readonly number[];
}

export interface Site {
  readonly random: Random;
  readonly document: Document;
  /** Seconds. */
  readonly length: number;
  readonly poll: number;
  /** What an id in this site has to begin with, so that no two plots meet: a new one each time. */
  next(): number;
  /** So many free GPUs of one node; null: there are none. */
  take(count: number): Place | null;
  /** A whole node of which nothing is taken. `partition`: it may be divided. */
  takeNode(): Place | null;
  /** A new OS account, by its name. */
  user(): string;
  job(name: string, job: Part<'jobs'>): void;
  process(name: string, process: Part<'processes'>): void;
  /** Seconds, to the hundredth. */
  second(from: number, to: number): number;
}

/** Names of loads that every site has; `NOISY` and `WAVES` change, the rest are steady. */
export const LOADS = {
  full: { sm: 98, memory: '20GiB' },
  most: { sm: 83, memory: '30GiB' },
  half: { sm: 42, memory: '8GiB' },
  third: { sm: 27, memory: '4GiB' },
  still: { sm: 0, memory: '2GiB' },
  noisy: { sm: 80, jitter: 9, memory: '16GiB' },
  waves: {
    phases: [
      { for: 190, sm: 91 },
      { for: 110, sm: 0 },
    ],
    memory: '12GiB',
  },
} satisfies NonNullable<Document['loads']>;
export type LoadName = keyof typeof LOADS;

const FIRST_UID = 1001;

export function createSite(random: Random, document: Document, length: number, poll: number): Site {
  const free = new Map(
    Object.entries(document.nodes ?? {}).map(([name, node]) => [
      name,
      new Set(Array.from({ length: node.gpus?.count ?? 8 }, (_, index) => index)),
    ]),
  );
  const whole = (name: string): boolean => free.get(name)?.size === document.nodes?.[name]?.gpus?.count;
  const takeFrom = (name: string, count: number): Place => {
    const left = free.get(name) ?? new Set<number>();
    const gpus = [...left].slice(0, count);
    for (const index of gpus) left.delete(index);
    return { node: name, gpus };
  };
  let number = 0;
  let users = 0;
  return {
    ...{ random, document, length, poll },
    next() {
      number += 1;
      return number;
    },
    take(count) {
      const able = [...free].filter(([, left]) => left.size >= count).map(([name]) => name);
      return able.length === 0 ? null : takeFrom(random.pick(able), count);
    },
    takeNode() {
      const able = [...free.keys()].filter(whole);
      if (able.length < 2) return null;
      const name = random.pick(able);
      return takeFrom(name, free.get(name)?.size ?? 0);
    },
    user() {
      users += 1;
      document.users = { ...document.users, [`u${users}`]: FIRST_UID + users };
      return `u${users}`;
    },
    job(name, job) {
      document.jobs = { ...document.jobs, [name]: job };
    },
    process(name, process) {
      document.processes = { ...document.processes, [name]: process };
    },
    second: (from, to) => Math.round((from + random.next() * Math.max(0, to - from)) * 100) / 100,
  };
}

/** As a scenario writes GPUs. */
export const gpusOf = (gpus: readonly number[]): string => gpus.join(',');
