/** Reading of protocol buffers: the fields of a message, one after the other. Nothing of it is trusted. */

/** The bytes are no message. */
export class BadMessage extends Error {}

/** `bytes` of a text or an inner message; null where the field is a number. */
export interface Field {
  readonly number: number;
  readonly bytes: Buffer | null;
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
/** Field numbers have 29 bits; a length beyond this cannot be in a message that was taken in. */
const MAX_VARINT_BYTES = 10;

/** Throws `BadMessage`. */
export function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  /** Of long ones only the low bits count here: numbers are passed over, lengths and tags are short. */
  const varint = (): number => {
    let value = 0;
    for (let count = 0; count < MAX_VARINT_BYTES; count += 1) {
      const byte = message[at];
      if (byte === undefined) throw new BadMessage('it ends in a number');
      at += 1;
      if (count < 5) value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value;
    }
    throw new BadMessage('a number has no end');
  };
  while (at < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number === 0) throw new BadMessage('a field has no number');
    if (wire === WIRE.varint) {
      varint();
      yield { number, bytes: null };
    } else {
      const length =
        wire === WIRE.bytes ? varint() : wire === WIRE.fixed64 ? 8 : wire === WIRE.fixed32 ? 4 : null;
      if (length === null) throw new BadMessage('a field is of no known kind');
      if (length > message.length - at) throw new BadMessage('a field is longer than the message');
      yield { number, bytes: wire === WIRE.bytes ? message.subarray(at, at + length) : null };
      at += length;
    }
  }
}
