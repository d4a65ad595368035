// What a scheduler says of a node: the reason why its devices had no job, or could not be measured.
import { CONDITIONS } from '../contract/sources.ts';
import type { Interval } from './interval.ts';

export type NodeCondition = (typeof CONDITIONS)[number];

/** `toMs` of one that still lasts is Infinity. */
export interface ConditionSpan extends Interval {
  readonly condition: NodeCondition;
}

/** The gravest condition at a moment; null: none. */
export const conditionAt = (spans: readonly ConditionSpan[], atMs: number): NodeCondition | null =>
  CONDITIONS.find((one) =>
    spans.some(({ condition, fromMs, toMs }) => condition === one && fromMs <= atMs && atMs < toMs),
  ) ?? null;
