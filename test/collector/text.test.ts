import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToText, cutText } from '../../collector/text.ts';

/** The bytes that a text stands for. */
function textToBytes(text: string): Buffer {
  const parts: Buffer[] = [];
  for (const piece of text.split(/(\\x[0-9a-f]{2})/))
    parts.push(
      piece.startsWith('\\x')
        ? Buffer.from([Number.parseInt(piece.slice(2), 16)])
        : Buffer.from(piece, 'utf8'),
    );
  return Buffer.concat(parts);
}

/** Bytes as workloads write them: valid text, controls, bidi marks, broken sequences. */
const hostileBytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary', maxLength: 6 }).map((text) => Buffer.from(text, 'utf8')),
      fc
        .constantFrom('\\', '\\x41', '\x1b[31m', '\u202e', '\u0085', '日本語', '🙂', '\0', '\n')
        .map((text) => Buffer.from(text)),
      fc
        .constantFrom([0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x80])
        .map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.concat(parts));

describe('bytesToText', () => {
  it.each([
    ['plain text', 'python train.py --lr 0.1', 'python train.py --lr 0.1'],
    ['other scripts', 'größe 日本語 🙂', 'größe 日本語 🙂'],
    ['terminal escapes', '\x1b]0;x\x07', '\\x1b]0;x\\x07'],
    ['newlines', 'a\nb', 'a\\x0ab'],
    ['a backslash', 'a\\x41', 'a\\x5cx41'],
    ['C1 controls', 'a\u0085b', 'a\\xc2\\x85b'],
    ['bidi overrides', 'a\u202eb', 'a\\xe2\\x80\\xaeb'],
  ])('writes %s', (_name, input, expected) => {
    expect(bytesToText(Buffer.from(input), 100)).toEqual({ text: expected, cut: false });
  });

  it.each([
    ['overlong', [0xc0, 0x80], '\\xc0\\x80'],
    ['surrogates', [0xed, 0xa0, 0x80], '\\xed\\xa0\\x80'],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80], '\\xf4\\x90\\x80\\x80'],
    ['a broken end', [0x61, 0xe2, 0x80], 'a\\xe2\\x80'],
  ])('escapes invalid UTF-8: %s', (_name, bytes, expected) => {
    expect(bytesToText(Buffer.from(bytes), 100).text).toBe(expected);
  });

  it('is reversible and holds nothing that acts on a terminal', () => {
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        const { text, cut } = bytesToText(bytes, 1000);
        expect(cut).toBe(false);
        expect(textToBytes(text).equals(bytes)).toBe(true);
        expect(text).not.toMatch(
          /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\p{Surrogate}]/u,
        );
      }),
    );
  });

  it('cuts between characters, and says so exactly when something is missing', () => {
    fc.assert(
      fc.property(hostileBytes, fc.nat(40), (bytes, max) => {
        const whole = bytesToText(bytes, 1000).text;
        for (const short of [bytesToText(bytes, max), cutText(whole, max)]) {
          expect(short.text.length).toBeLessThanOrEqual(max);
          expect(whole.startsWith(short.text)).toBe(true);
          expect(short.cut).toBe(short.text.length < whole.length);
          expect(textToBytes(short.text).equals(bytes.subarray(0, textToBytes(short.text).length))).toBe(
            true,
          );
          expect(whole.length - short.text.length === 0 || short.text.length > max - 12).toBe(true);
        }
      }),
    );
  });
});
