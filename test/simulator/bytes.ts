/** Texts that stand for bytes: what is no UTF-8 is kept as U+DC80 to U+DCFF, one for each byte, as Python does. */

const BYTE = 0xdc00;
const ESCAPED = /[\udc80-\udcff]/;
const CODE = /\\x([0-9a-fA-F]{2})/g;

/** The bytes of a text; those of a plain one are its UTF-8. */
export function bytesOf(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text, 'utf8');
  const parts = [...text].map((char) => {
    const code = char.codePointAt(0) ?? 0;
    return ESCAPED.test(char) ? Buffer.from([code - BYTE]) : Buffer.from(char, 'utf8');
  });
  return Buffer.concat(parts);
}

/** Makes `\xff`, written out, the byte that it names. */
export const withBytes = (text: string): string =>
  text.replace(CODE, (_, digits: string) => {
    const value = Number.parseInt(digits, 16);
    return String.fromCharCode(value < 0x80 ? value : BYTE + value);
  });
