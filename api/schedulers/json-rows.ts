/**
 * Reads a large JSON answer member by member: the elements of its lists are handed out as soon as each is complete, so an
 * answer of any size needs the memory of its largest row. A row that is no JSON costs that row.
 */

export interface JsonMember {
  /** The member of the outermost object that it is, or is an element of; null: an element of an outermost list. */
  readonly key: string | null;
  /** Whether it is one element of a list. */
  readonly element: boolean;
  /** undefined: larger than the limit, or no JSON. */
  readonly value: unknown;
}

/** The answer stopped before its end, or is not JSON at all. What was handed out before stands. */
export class JsonBroken extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'JsonBroken';
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

type Expecting = 'document' | 'key' | 'value' | 'nothing';

/**
 * `maxMemberBytes`: one that is larger is not kept. Throws `JsonBroken` where the text does not begin as an object or a
 * list, or ends before that is closed. `onList` hears of each list that begins, so also of one that is empty.
 */
export async function* jsonMembers(
  chunks: AsyncIterable<Buffer>,
  maxMemberBytes: number,
  onList: (key: string | null) => void = () => undefined,
): AsyncGenerator<JsonMember> {
  const reader = createReader(maxMemberBytes, onList);
  for await (const chunk of chunks) yield* reader.push(chunk);
  reader.end();
}

function createReader(maxMemberBytes: number, onList: (key: string | null) => void) {
  let expecting: Expecting = 'document';
  let key: string | null = null;
  /** Whether the members at hand are elements of a list, and how deep below the document that list is. */
  let inList = false;
  let memberDepth = 1;
  let depth = 0;
  let inString = false;
  let escaped = false;
  /** Where in the chunk the member at hand begins; -1: none has begun. */
  let start = -1;
  let parts: Buffer[] = [];
  let kept = 0;
  let tooLarge = false;

  const keep = (part: Buffer): void => {
    kept += part.length;
    if (kept > maxMemberBytes) {
      tooLarge = true;
      parts = [];
    }
    if (!tooLarge && part.length > 0) parts.push(part);
  };
  const take = (chunk: Buffer, at: number): unknown => {
    keep(chunk.subarray(start, at));
    const value = tooLarge ? undefined : parseLoosely(parts);
    start = -1;
    parts = [];
    kept = 0;
    tooLarge = false;
    return value;
  };
  const openDocument = (byte: number): void => {
    if (byte !== OPEN_OBJECT && byte !== OPEN_LIST) throw new JsonBroken('the answer is not JSON');
    depth = 1;
    inList = byte === OPEN_LIST;
    if (inList) onList(null);
    expecting = inList ? 'value' : 'key';
  };

  function* push(chunk: Buffer): Generator<JsonMember> {
    if (start >= 0) start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      if (byte <= 0x20) continue;
      if (expecting === 'document') {
        openDocument(byte);
        continue;
      }
      if (expecting === 'nothing') throw new JsonBroken('something follows the end of the answer');
      const closes = byte === CLOSE_LIST || byte === CLOSE_OBJECT;
      if (depth === memberDepth && (byte === COMMA || byte === COLON || closes)) {
        const begun = start >= 0;
        const value = begun ? take(chunk, at) : undefined;
        if (byte === COLON) {
          key = typeof value === 'string' ? value : null;
          expecting = 'value';
          continue;
        }
        if (begun && expecting === 'value') yield { key, element: inList, value };
        if (closes) {
          depth -= 1;
          inList = false;
          memberDepth = 1;
        }
        if (depth === 0) expecting = 'nothing';
        else if (!inList) expecting = 'key';
        continue;
      }
      // A list right below the document is read element by element.
      if (start < 0 && depth === 1 && expecting === 'value' && !inList && byte === OPEN_LIST) {
        inList = true;
        memberDepth = 2;
        depth = 2;
        onList(key);
        continue;
      }
      if (start < 0) start = at;
      if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth += 1;
      else if (closes) depth -= 1;
    }
    if (start >= 0) keep(chunk.subarray(start));
  }

  const end = (): void => {
    if (expecting === 'document') throw new JsonBroken('the answer is empty');
    if (expecting !== 'nothing') throw new JsonBroken('the answer stops in the middle');
  };
  return { push, end };
}

/** Strings as they are but for raw control characters; what some schedulers write where JSON has no number. */
const LOOSE = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|[-+]?(?:NaN|Infinity|inf(?:inite)?)\b/gi;

/** Also what is JSON but for NaN, Infinity (null then) and raw control characters in strings (`?`); undefined: none at all. */
function parseLoosely(parts: readonly Buffer[]): unknown {
  const [only] = parts;
  const text = (parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    try {
      const mended = text.replace(LOOSE, (token) =>
        token.startsWith('"') ? token.replace(/[\u0000-\u001f]/g, '?') : 'null',
      );
      return JSON.parse(mended);
    } catch {
      return undefined;
    }
  }
}
