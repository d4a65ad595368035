/** What the services need of a store for the fleet list, silent nodes, prices and their journal entries. */
import type { CapacityStretch, FleetStatement, Sighting } from '../domain/capacity.ts';
import type { Interval } from '../domain/interval.ts';
import type { JournalWrite } from './jobs.ts';

/** What is known of a device of a fleet list. */
export interface FleetDevice {
  readonly uuid: string;
  readonly capacity: readonly CapacityStretch<string>[];
  /** What it is derived from. */
  readonly statements: readonly FleetStatement<string>[];
  readonly sightings: readonly Sighting<string>[];
}

export interface FleetNode {
  readonly node: string;
  readonly group: string;
  readonly mode: 'observe' | 'shadow' | 'live';
  readonly enrolled: boolean;
}

/** One change to make; the service has decided that it is one. */
export type FleetChange =
  | { readonly kind: 'add_node'; readonly node: string; readonly group: string }
  | { readonly kind: 'move_group'; readonly node: string; readonly group: string }
  | { readonly kind: 'set_mode'; readonly group: string; readonly mode: FleetNode['mode'] }
  /** States a device's place anew; makes the device where it is not known. */
  | {
      readonly kind: 'state';
      readonly uuid: string;
      readonly model: string;
      readonly index: number | null;
      readonly statement: FleetStatement<string>;
    };

/** A node of which nobody reports. */
export interface SilentNode {
  readonly node: number;
  readonly name: string;
  /** The end of what is booked of it. */
  readonly bookedToMs: number;
  /** Up to when it should have been heard. */
  readonly untilMs: number;
  readonly cause: 'agent_silent' | 'not_enrolled';
}

export interface RateCardWrite {
  readonly cluster: string;
  readonly effectiveFromMs: number;
  readonly currency: string;
  /** Millionths of the currency unit by model. */
  readonly microsPerGpuHour: ReadonlyMap<string, bigint>;
  readonly nowMs: number;
  readonly recordedBy: string;
  readonly journal: JournalWrite;
}

export interface FleetStore {
  readFleet(
    cluster: string,
    uuids: readonly string[],
  ): Promise<{ nodes: FleetNode[]; devices: FleetDevice[] }>;
  applyFleet(
    cluster: string,
    changes: readonly FleetChange[],
    nowMs: number,
    journal: JournalWrite,
  ): Promise<void>;
  /**
   * Nodes with capacity that are booked less far than they would be if they were heard: `graceMs`, or four polls where
   * that is longer, before `nowMs`.
   */
  listSilent(nowMs: number, graceMs: number): Promise<SilentNode[]>;
  /** Books a silent node up to the end of `interval` as not measured, and marks what that touches. */
  addSilence(node: SilentNode, interval: Interval, nowMs: number): Promise<void>;
  addRateCard(card: RateCardWrite): Promise<void>;
}
