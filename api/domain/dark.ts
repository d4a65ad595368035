// Stretches of a finding's time in which a device was not measured, and what stood on either side of them.
import type { ObservedGap, ObservedSpan } from './cell.ts';
import type { Interval } from './interval.ts';

export interface Dark extends Interval {
  readonly reason: ObservedGap['reason'];
  /** The same process executed in the last span before and in the first one after. */
  readonly sameAround: boolean;
}

/** `spans` and `gaps` of one device, ascending. Of time that nobody reported, the agent was silent. */
export function darkWithin(
  interval: Interval,
  spans: readonly ObservedSpan[],
  gaps: readonly ObservedGap[],
): Dark[] {
  const inside = spans.filter((span) => span.toMs > interval.fromMs && span.fromMs < interval.toMs);
  const dark: Dark[] = [];
  for (const [index, span] of inside.entries()) {
    const before = inside[index - 1];
    if (before === undefined || before.toMs >= span.fromMs) continue;
    const stretch = { fromMs: before.toMs, toMs: span.fromMs };
    const gap = gaps.find((one) => one.fromMs < stretch.toMs && one.toMs > stretch.fromMs);
    const executing = (one: ObservedSpan) => one.tenants.filter((tenant) => (tenant.activeMs ?? 0) > 0);
    const after = new Set(executing(span).map(({ process }) => process));
    const sameAround = executing(before).some(({ process }) => after.has(process));
    dark.push({ ...stretch, reason: gap?.reason ?? 'agent_silent', sameAround });
  }
  return dark;
}
