/** Conflicts of claims, as questions of pages and metrics ask for them and get them. */
import type { JobRef } from '../contract/jobs.ts';
import type { Interval } from '../domain/interval.ts';
import type { Scope } from './questions.ts';

export interface ConflictsQuestion extends Scope {
  /** Full UTC hours. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly node: string | null;
  readonly account: string | null;
  readonly source: string | null;
  readonly running: boolean | null;
  readonly nowMs: number;
  readonly after: { readonly running: boolean; readonly fromMs: number; readonly id: string } | null;
  readonly limit: number;
  readonly claimsMax: number;
}
/** Jobs that claim more of the same devices than there is. */
export interface ConflictRow extends Interval {
  readonly id: string;
  readonly node: string;
  readonly devices: readonly { readonly device: string; readonly index: number | null }[];
  readonly claims: readonly JobRef[];
  /** Those beyond `claimsMax`, or that the caller may not see. */
  readonly moreClaims: number;
  readonly running: boolean;
  readonly ms: number;
}
