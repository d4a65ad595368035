/** Slurm's short form of many names: `gn[1-2]`, `rack[0-1]n[01-03,7],login1`. */

/** More names than this are no job of anybody's. */
export const MAX_HOSTS = 65_536;
const MAX_CHARS = 262_144;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,251}$/;

/** The names in their order, or null where the text is no such list, or one of more than 65,536. */
export function expandHosts(text: string): string[] | null {
  if (text.length > MAX_CHARS) return null;
  const hosts: string[] = [];
  for (const one of splitOutside(text, '[', ']')) {
    const expanded = expandOne(one.trim(), MAX_HOSTS - hosts.length);
    if (expanded === null) return null;
    for (const host of expanded) hosts.push(host);
  }
  return hosts.every((host) => NAME.test(host)) ? hosts : null;
}

/** At the commas that do not stand between brackets. */
export function splitOutside(text: string, open: string, close: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === open) depth += 1;
    else if (char === close) depth -= 1;
    else if (char === ',' && depth === 0) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

function expandOne(text: string, room: number): string[] | null {
  let names = [''];
  let rest = text;
  while (rest !== '') {
    const open = rest.indexOf('[');
    const close = rest.indexOf(']', open);
    if (open < 0) return names.map((name) => name + rest);
    if (close < 0) return null;
    const choices = expandRanges(rest.slice(open + 1, close), room);
    if (choices === null || names.length * choices.length > room) return null;
    const before = rest.slice(0, open);
    names = names.flatMap((name) => choices.map((choice) => name + before + choice));
    rest = rest.slice(close + 1);
  }
  return names;
}

function expandRanges(text: string, room: number): string[] | null {
  const numbers: string[] = [];
  for (const range of text.split(',')) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range);
    if (!match) return null;
    const [, first = '', last = first] = match;
    const from = Number(first);
    const to = Number(last);
    if (to < from || numbers.length + (to - from + 1) > room) return null;
    for (let number = from; number <= to; number += 1)
      numbers.push(String(number).padStart(first.length, '0'));
  }
  return numbers;
}
