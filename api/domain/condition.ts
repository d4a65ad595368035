// What a scheduler says of a node: the reason why its devices had no job, or could not be measured.
import type { CONDITIONS } from '../contract/sources.ts';
import type { Interval } from './interval.ts';

export type NodeCondition = (typeof CONDITIONS)[number];

/** `toMs` of one that still lasts is Infinity. */
export interface ConditionSpan extends Interval {
  readonly condition: NodeCondition;
  readonly reason: string;
}
