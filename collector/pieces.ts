/**
 * Pieces are what the span builder collects, at the grain of readings; tenancies are what goes on the wire. Joining
 * pieces loses nothing: neither a millisecond nor, within a window, who had it.
 */
import { type Gap, type GapReason, HOUR_MS, type SplitMethod, type Tenancy } from '../api/contract/batch.ts';

/** One process on a device, as a member of a set. */
export interface Occupant {
  readonly process: string;
  readonly type: string;
  /** MIG: where its contexts are. One process can be in several, as several occupants. */
  readonly gpuInstance: number | null;
}

/** MIG: the GPU instances of a device; empty where it is not divided. */
export type Partition = readonly { readonly gpuInstance: number; readonly slices: number }[];

/** A stretch with one set of occupants, inside one window and one hour. */
export interface Piece {
  readonly fromMs: number;
  readonly toMs: number;
  readonly occupants: readonly Occupant[];
  readonly memoryBytes: readonly (number | null)[];
  /** null: the device does not tell. */
  readonly activeMs: number | null;
  /** One per occupant; empty when `activeMs` is null. */
  readonly shares: readonly number[];
  readonly method: SplitMethod | null;
  /** How much of the rest the device drew working power, while it claimed to be still. */
  readonly conflictMs: number;
  readonly partition: Partition;
}

/** A stretch that was not measured. */
export interface Blank {
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: GapReason;
  readonly detail: string;
}

export type Stretch = Piece | Blank;
export const isBlank = (stretch: Stretch): stretch is Blank => 'reason' in stretch;

export function sameOccupants(a: readonly Occupant[], b: readonly Occupant[]): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every(
      ({ process, type, gpuInstance }, i) =>
        process === b[i]?.process && type === b[i].type && gpuInstance === b[i].gpuInstance,
    )
  );
}

export function samePartition(a: Partition, b: Partition): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every(({ gpuInstance, slices }, i) => gpuInstance === b[i]?.gpuInstance && slices === b[i].slices)
  );
}

/** The next edge after `fromMs` at which spans are cut: of a window or of an hour. */
export function nextCut(fromMs: number, windowMs: number): number {
  return Math.min(
    (Math.floor(fromMs / windowMs) + 1) * windowMs,
    (Math.floor(fromMs / HOUR_MS) + 1) * HOUR_MS,
  );
}

/** The last such edge at or before `atMs`. */
export function lastCut(atMs: number, windowMs: number): number {
  return Math.max(Math.floor(atMs / windowMs) * windowMs, Math.floor(atMs / HOUR_MS) * HOUR_MS);
}

interface Open {
  readonly first: Piece;
  endMs: number;
  /** Where the last span starts. */
  spanMs: number;
  method: SplitMethod | null;
  readonly memoryBytes: (number | null)[];
  readonly lengthMs: number[];
  readonly activeMs: number[];
  readonly shareMs: number[][];
  readonly conflictMs: number[];
}

function open(piece: Piece): Open {
  return {
    first: piece,
    endMs: piece.toMs,
    spanMs: piece.fromMs,
    method: piece.method,
    memoryBytes: [...piece.memoryBytes],
    lengthMs: [piece.toMs - piece.fromMs],
    activeMs: piece.activeMs === null ? [] : [piece.activeMs],
    shareMs: piece.activeMs === null ? [] : piece.shares.map((share) => [share]),
    conflictMs: [piece.conflictMs],
  };
}

function joins(current: Open, piece: Piece): boolean {
  return (
    current.endMs === piece.fromMs &&
    Math.floor(current.first.fromMs / HOUR_MS) === Math.floor(piece.fromMs / HOUR_MS) &&
    (current.first.activeMs === null) === (piece.activeMs === null) &&
    (current.method === null || piece.method === null || current.method === piece.method) &&
    sameOccupants(current.first.occupants, piece.occupants) &&
    samePartition(current.first.partition, piece.partition)
  );
}

function append(current: Open, piece: Piece, windowMs: number): void {
  const last = current.lengthMs.length - 1;
  const sameWindow = nextCut(current.spanMs, windowMs) === nextCut(piece.fromMs, windowMs);
  const bothStill =
    current.activeMs[last] === 0 &&
    piece.activeMs === 0 &&
    current.conflictMs[last] === 0 &&
    piece.conflictMs === 0;
  const length = piece.toMs - piece.fromMs;
  current.endMs = piece.toMs;
  current.method ??= piece.method;
  for (const [i, bytes] of piece.memoryBytes.entries()) {
    const known = current.memoryBytes[i] ?? null;
    current.memoryBytes[i] = bytes === null ? known : Math.max(bytes, known ?? 0);
  }
  if (piece.activeMs === null) {
    current.lengthMs[last] = (current.lengthMs[last] ?? 0) + length;
  } else if (sameWindow || bothStill) {
    current.lengthMs[last] = (current.lengthMs[last] ?? 0) + length;
    current.activeMs[last] = (current.activeMs[last] ?? 0) + piece.activeMs;
    current.conflictMs[last] = (current.conflictMs[last] ?? 0) + piece.conflictMs;
    for (const [i, row] of current.shareMs.entries()) row[last] = (row[last] ?? 0) + (piece.shares[i] ?? 0);
  } else {
    current.spanMs = piece.fromMs;
    current.lengthMs.push(length);
    current.activeMs.push(piece.activeMs);
    current.conflictMs.push(piece.conflictMs);
    for (const [i, row] of current.shareMs.entries()) row.push(piece.shares[i] ?? 0);
  }
}

function close(device: string, current: Open): Tenancy {
  const { occupants, fromMs, activeMs, partition } = current.first;
  const otherwise = occupants.length === 0 ? 'none' : occupants.length === 1 ? 'sole' : 'equal';
  return {
    device,
    tenants: occupants.map((occupant, i) => ({
      ...occupant,
      memoryBytes: current.memoryBytes[i] ?? null,
    })),
    startMs: fromMs,
    lengthMs: current.lengthMs,
    activeMs: activeMs === null ? null : current.activeMs,
    shareMs: current.shareMs,
    method: current.method ?? otherwise,
    conflictMs: current.conflictMs.some((ms) => ms > 0) ? current.conflictMs : [],
    partition: partition.map(({ gpuInstance, slices }) => ({ gpuInstance, slices })),
  };
}

/**
 * Joins one device's pieces, ascending, into tenancies: spans of one window with one set become one span, and
 * stretches without activity become one span within the hour.
 */
export function joinPieces(device: string, pieces: readonly Piece[], windowMs: number): Tenancy[] {
  const tenancies: Tenancy[] = [];
  let current: Open | null = null;
  for (const piece of pieces) {
    if (current !== null && joins(current, piece)) append(current, piece, windowMs);
    else {
      if (current !== null) tenancies.push(close(device, current));
      current = open(piece);
    }
  }
  if (current !== null) tenancies.push(close(device, current));
  return tenancies;
}

export const gapOf = (device: string, blank: Blank): Gap => ({ device, ...blank });
