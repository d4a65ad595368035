/** Large JSON answers, read member by member. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonBroken, type JsonMember, jsonMembers } from '../../api/schedulers/json-rows.ts';

async function* cut(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, size = 3, maxBytes = 1_000_000) {
  const members: JsonMember[] = [];
  let error: unknown = null;
  try {
    for await (const member of jsonMembers(cut(text, size), maxBytes)) members.push(member);
  } catch (thrown) {
    error = thrown;
  }
  return { members, error };
}

test('says what JSON.parse says, wherever the chunks end', async () => {
  const value = fc.oneof(fc.jsonValue(), fc.array(fc.jsonValue()));
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string(), value, { noNullPrototype: true }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(0, 2),
      async (document, size, indent) => {
        const { members, error } = await read(JSON.stringify(document, null, indent), size);
        expect(error).toBeNull();
        for (const [key, wanted] of Object.entries(JSON.parse(JSON.stringify(document)))) {
          const found = members.filter((one) => one.key === key);
          if (Array.isArray(wanted)) expect(found.map((one) => one.value)).toEqual(wanted);
          else expect(found).toEqual([{ key, element: false, value: wanted }]);
        }
      },
    ),
  );
});

test('hands out what is complete of half an answer, whatever half', async () => {
  const rows = [{ a: '}],"' }, { b: [1, { c: 2 }] }, { d: null }];
  const text = JSON.stringify({ jobs: rows, meta: { x: 1 } });
  for (let length = 0; length < text.length; length += 1) {
    const { members, error } = await read(text.slice(0, length));
    expect(error).toBeInstanceOf(JsonBroken);
    const found = members.filter((one) => one.key === 'jobs').map((one) => one.value);
    expect(found).toEqual(rows.slice(0, found.length));
  }
  expect((await read(text)).error).toBeNull();
});

describe('one bad row', () => {
  test('costs that row', async () => {
    const { members, error } = await read('{"jobs":[{"a":1},{a:2},{"a":3}]}');
    expect([members.map((one) => one.value), error]).toEqual([[{ a: 1 }, undefined, { a: 3 }], null]);
  });

  test('is mended where only its numbers or its control characters are no JSON', async () => {
    const { members } = await read('[{"a":NaN,"b":-Infinity,"c":"NaN \n","d":[inf]}]');
    expect(members[0]?.value).toEqual({ a: null, b: null, c: 'NaN ?', d: [null] });
  });

  test('is mended, or costs itself, however long its text and deep its lists are', async () => {
    const long = `${'x'.repeat(3_000_000)}${'\\"'.repeat(1_000_000)}`;
    const deep = `${'['.repeat(100_000)}NaN`.padEnd(200_003, ']');
    const { members } = await read(`[{"a":NaN,"b":"${long}"},${deep},{"c":1}]`, 65_536, 8_000_000);
    expect(members).toHaveLength(3);
    expect(members[0]?.value).toEqual({ a: null, b: JSON.parse(`"${long}"`) });
    expect(members[2]?.value).toEqual({ c: 1 });
  });

  test('is not kept where it is too large', async () => {
    const { members, error } = await read(`[{"a":"${'x'.repeat(500)}"},{"b":1}]`, 7, 100);
    expect([members.map((one) => one.value), error]).toEqual([[undefined, { b: 1 }], null]);
  });
});

test.each(['', 'slurm_load_jobs error', '"jobs"', '[1]x', '{"jobs":[]}}'])(
  '%j is no answer',
  async (text) => {
    expect((await read(text)).error).toBeInstanceOf(JsonBroken);
  },
);
