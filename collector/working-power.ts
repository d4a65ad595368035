/** Whether what a device draws says that it works, whatever it claims of its utilisation. */
import { isUnknown, type Value } from './reading.ts';

/**
 * A board that only waits draws a fifth of its limit at most, also in its highest performance state with a context open;
 * small boards (70 W) come near two fifths.
 */
const WORKING_SHARE = 0.4;
/** Boards may be limited to little more than they draw at rest: below this, only a larger share says something. */
const WORKING_MILLIWATTS = 120_000;
const SMALL_BOARD_SHARE = 0.6;
/** Where the limit is not known: the largest boards draw a little over 200 W at rest. */
const UNLIMITED_MILLIWATTS = 250_000;

/** At least this much is work. `limitMilliwatts`: what the device may draw at most. */
export function workingMilliwatts(limitMilliwatts: Value<number>): number {
  if (isUnknown(limitMilliwatts) || !(limitMilliwatts > 0)) return UNLIMITED_MILLIWATTS;
  return Math.max(
    limitMilliwatts * WORKING_SHARE,
    Math.min(WORKING_MILLIWATTS, limitMilliwatts * SMALL_BOARD_SHARE),
  );
}

/** False where the power is not known: nothing is said then. */
export function drawsWorkingPower(milliwatts: Value<number>, limitMilliwatts: Value<number>): boolean {
  return !isUnknown(milliwatts) && milliwatts >= workingMilliwatts(limitMilliwatts);
}
