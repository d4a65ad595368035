/** What a scheduler says of a job beside its declaration, cut to what the service takes. */
import { ATTRIBUTE_LIMITS } from '../contract/jobs.ts';

const NAME_REST = /[^A-Za-z0-9._/:-]/g;
const UNCLEAN = /[\p{Cc}\p{Cs}]/gu;

/**
 * Attributes of these names and values: without what says nothing (null, undefined, empty), other characters replaced by
 * `?` and `_`, text cut, and no more than fit, the first ones first.
 */
export function attributesOf(
  entries: Iterable<readonly [string, string | null | undefined]>,
): Record<string, string> {
  const attributes = new Map<string, string>();
  let chars = 0;
  for (const [rawName, rawValue] of entries) {
    if (rawValue === null || rawValue === undefined || rawValue === '') continue;
    const name = rawName
      .replace(/^[^A-Za-z0-9]+/, '')
      .replace(NAME_REST, '_')
      .slice(0, ATTRIBUTE_LIMITS.nameChars);
    const value = rawValue.slice(0, ATTRIBUTE_LIMITS.valueChars).replace(UNCLEAN, '?');
    chars += name.length + value.length;
    if (attributes.size >= ATTRIBUTE_LIMITS.count || chars > ATTRIBUTE_LIMITS.chars) break;
    if (name !== '' && !attributes.has(name)) attributes.set(name, value);
  }
  return Object.fromEntries(attributes);
}
