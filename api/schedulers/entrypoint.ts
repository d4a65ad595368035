/** How the command line of a job begins, as far as that is safe to say and will look the same. */

const MAX_WORDS = 16;
const MAX_WORD_CHARS = 1024;

/**
 * The first words, up to an option, an assignment, an address, a variable or something longer than a word: values
 * that follow may be credentials, and what a shell makes of the rest is not known.
 */
export function beginningOf(words: readonly unknown[]): string[] {
  const plain: string[] = [];
  for (const word of words) {
    if (typeof word !== 'string' || word === '' || word.length > MAX_WORD_CHARS) break;
    if (/^-|[=$`]|:\/\/|[\p{Cc}\p{Cs}\s]/u.test(word) || plain.length >= MAX_WORDS) break;
    plain.push(word);
  }
  return plain;
}
