// Wildcards over text that others wrote.

/**
 * Whether the pattern stands for all of `text`: `*` for any characters but `stop`, `**` for any at all. Which prefixes of
 * the text the pattern's prefix matches is followed one pattern character at a time: never exponential.
 */
export function matchesGlob(pattern: string, text: string, stop: string | null): boolean {
  let reach = new Uint8Array(text.length + 1);
  reach[0] = 1;
  for (let at = 0; at < pattern.length; at += 1) {
    const next = new Uint8Array(text.length + 1);
    let any = false;
    if (pattern[at] === '*') {
      const deep = pattern[at + 1] === '*';
      if (deep) at += 1;
      for (let end = 0; end <= text.length; end += 1) {
        const extended = end > 0 && next[end - 1] === 1 && (deep || text[end - 1] !== stop);
        if (reach[end] === 1 || extended) {
          next[end] = 1;
          any = true;
        }
      }
    } else {
      for (let end = 1; end <= text.length; end += 1) {
        if (reach[end - 1] === 1 && text[end - 1] === pattern[at]) {
          next[end] = 1;
          any = true;
        }
      }
    }
    if (!any) return false;
    reach = next;
  }
  return reach[text.length] === 1;
}
