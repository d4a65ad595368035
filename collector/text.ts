/** Bytes from a workload as text: reversible, harmless in terminals and pages, and cut only between characters. */

const BACKSLASH = 0x5c;
/** Characters that reorder or break the text around them: line and paragraph separators, bidi marks and embeddings. */
const REORDERING = new Set([
  0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068,
  0x2069,
]);
/** Most bytes become one character or more, so this many bytes always fill the wanted length. */
const BYTES_PER_CHAR = 4;

export interface Text {
  readonly text: string;
  /** There was more than `maxChars`. */
  readonly cut: boolean;
}

/**
 * Valid UTF-8 stays as it is; invalid bytes, control characters (C0, DEL, C1), bidi controls and the backslash are
 * written as `\xNN`, one escape per byte, so that the bytes can be recovered. `maxChars` counts UTF-16 units, as
 * `string.length` does; an escape or a surrogate pair is never split.
 */
export function bytesToText(bytes: Buffer, maxChars: number): Text {
  if (bytes.length <= maxChars && isPlain(bytes)) return { text: bytes.toString('latin1'), cut: false };
  const end = Math.min(bytes.length, (maxChars + 1) * BYTES_PER_CHAR);
  let text = '';
  let at = 0;
  while (at < end) {
    const character = readCharacter(bytes, at);
    const piece = character.escaped ? escapeBytes(bytes, at, character.length) : character.text;
    if (text.length + piece.length > maxChars) return { text, cut: true };
    text += piece;
    at += character.length;
  }
  return { text, cut: at < bytes.length };
}

/** Shortens text that `bytesToText` made, never inside an escape or a surrogate pair. */
export function cutText(text: string, maxChars: number): Text {
  if (text.length <= maxChars) return { text, cut: false };
  let end = maxChars;
  const begun = text.slice(Math.max(0, end - 3), end).lastIndexOf('\\');
  if (begun !== -1) end = Math.max(0, end - 3) + begun;
  else if (isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
  return { text: text.slice(0, end), cut: true };
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isPlain(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH) return false;
  return true;
}

interface Character {
  readonly length: number;
  readonly escaped: boolean;
  readonly text: string;
}

/** One character, or one byte that is not the start of any. */
function readCharacter(bytes: Buffer, at: number): Character {
  const first = bytes[at] ?? 0;
  if (first < 0x80) {
    const escaped = first < 0x20 || first === 0x7f || first === BACKSLASH;
    return { length: 1, escaped, text: String.fromCharCode(first) };
  }
  const length =
    first >= 0xc2 && first <= 0xdf
      ? 2
      : first >= 0xe0 && first <= 0xef
        ? 3
        : first >= 0xf0 && first <= 0xf4
          ? 4
          : 0;
  if (length === 0 || at + length > bytes.length) return { length: 1, escaped: true, text: '' };
  let code = first & (0x7f >> length);
  for (let offset = 1; offset < length; offset += 1) {
    const next = bytes[at + offset] ?? 0;
    if ((next & 0xc0) !== 0x80) return { length: 1, escaped: true, text: '' };
    code = (code << 6) | (next & 0x3f);
  }
  const smallest = length === 2 ? 0x80 : length === 3 ? 0x800 : 0x10000;
  const surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < smallest || code > 0x10ffff || surrogate) return { length: 1, escaped: true, text: '' };
  const escaped = code <= 0x9f || REORDERING.has(code);
  return { length, escaped, text: String.fromCodePoint(code) };
}

function escapeBytes(bytes: Buffer, at: number, length: number): string {
  let text = '';
  for (let offset = 0; offset < length; offset += 1)
    text += `\\x${(bytes[at + offset] ?? 0).toString(16).padStart(2, '0')}`;
  return text;
}
