/** What hours of one node share that are attributed together: most differ in their spans alone. */
import { placesByCount } from '../domain/bind.ts';
import type { SourceWatermark } from '../domain/cell.ts';
import type { HourFacts, LedgerReader } from '../store/ledger.ts';
import { createProcessLoader } from './load-hour.ts';
import { type NodeHourInputs, type PlacedHour, placeNodeHour, watermarksOf } from './node-hour.ts';

/** What hours of one node have in common, worked out once. */
export interface Shared {
  readonly loadProcesses: ReturnType<typeof createProcessLoader>;
  readonly place: ReturnType<typeof createPlacer>;
  readonly sourcesOf: (facts: HourFacts) => readonly SourceWatermark[];
}

/** For one state of the store. */
export function createShared(reader: LedgerReader, nowMs: number): Shared {
  let last: { readonly facts: HourFacts; readonly marks: readonly SourceWatermark[] } | null = null;
  return {
    loadProcesses: createProcessLoader(reader),
    place: createPlacer(),
    sourcesOf(facts) {
      const { sources, policy } = facts;
      if (last?.facts.sources !== sources || last.facts.policy !== policy)
        last = { facts, marks: watermarksOf(sources, policy, nowMs) };
      return last.marks;
    },
  };
}

/** The function that places hours of one node: where nothing but spans differs from the one before, as that one. */
export function createPlacer(): (inputs: NodeHourInputs) => PlacedHour {
  let last: { readonly inputs: NodeHourInputs; readonly placed: PlacedHour } | null = null;
  return (inputs) => {
    const placed = last !== null && isPlacedAlike(last.inputs, inputs) ? last.placed : placeNodeHour(inputs);
    last = { inputs, placed };
    return placed;
  };
}

function isPlacedAlike(a: NodeHourInputs, b: NodeHourInputs): boolean {
  const isPlain = ({ decoded, facts, jobs, nodeName }: NodeHourInputs): boolean =>
    decoded.grants.length === 0 &&
    (facts.conditions ?? []).length === 0 &&
    !jobs.some((job) => placesByCount(job, nodeName));
  const [devices, others] = [a.facts.devices, b.facts.devices];
  return (
    a.processes === b.processes &&
    a.sources === b.sources &&
    a.facts.policy === b.facts.policy &&
    a.jobs.length === b.jobs.length &&
    a.jobs.every((job, at) => job === b.jobs[at]) &&
    devices.length === others.length &&
    devices.every(({ device }, at) => device === others[at]?.device) &&
    isPlain(a) &&
    isPlain(b)
  );
}
