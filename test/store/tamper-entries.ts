/** SQL that changes entries where they are stored: in the rows of their cells. */

/** The places of what tests change, in the array of an entry. */
const PLACES = { bucket: 2, reason: 3, activity: 5, ms: 12 } as const;

/** `values`: SQL for each, of the columns of `entries`; `where` too. */
export function tamperEntries(values: Partial<Record<keyof typeof PLACES, string>>, where: string): string {
  const changes = Object.entries(PLACES).flatMap(([name, place]) => {
    const value = Object.entries(values).find(([other]) => other === name)?.[1];
    return value === undefined ? [] : [`'$[${place}]', ${value}`];
  });
  return `UPDATE cells SET entries = (
    SELECT json_group_array(json(CASE WHEN ${where} THEN json_set(j.value, ${changes.join(', ')}) ELSE j.value END) ORDER BY j.key)
    FROM json_each(cells.entries) j JOIN entries e ON e.hour_ms = cells.hour_ms AND e.node = cells.node
      AND e.device = cells.device AND e.ordinal = j.key);`;
}
