/** How much of a device an instance of it (MIG) is, by the name of its profile. */

export interface MigSlices {
  /** Compute slices of one instance. */
  readonly each: number;
  /** Of the whole device. */
  readonly device: number;
}

/** `1g.5gb`, `a100_3g.20gb`, `2g.12gb+me`, `1c.3g.20gb`: what schedulers call instances ends with their profile. */
const PROFILE =
  /(?:^|[_./-])(?:(\d)c\.)?(\d)g\.?(\d{1,3})gb(?:[.+-](?:me|all|gfx|no)[a-z.]*)*(?:\.shared)?$/i;
/** Profiles of the devices that are cut into four (A30, RTX PRO 6000), not seven. */
const OF_FOUR: readonly string[] = ['1/6', '2/12', '4/24', '2/48', '4/96'];

/** null: it is no instance. */
export function migSlices(name: string): MigSlices | null {
  const [, part, slices, gigabytes] = PROFILE.exec(name) ?? [];
  if (slices === undefined || gigabytes === undefined || Number(slices) === 0) return null;
  const device = OF_FOUR.includes(`${slices}/${gigabytes}`) ? 4 : 7;
  const own = part === undefined ? Number(slices) : Math.min(Number(part), Number(slices));
  return { each: Math.max(1, Math.min(own, device)), device };
}
