/** Sealed hours give back every batch to the last bit, in few bytes, whatever the batches hold. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchBody, ProcessFact, Tenancy } from '../../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import { BadColumns, IntegerReader, IntegerWriter } from '../../api/store/sqlite/integers.ts';
import { openHour, packHour, type RecordBatch, sealHash } from '../../api/store/sqlite/sealed.ts';
import { createTexts } from '../../api/store/sqlite/texts.ts';
import { restore, transpose } from '../../api/store/sqlite/transpose.ts';
import { device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

const MAX_BYTES = 64 * 1024 * 1024;

/** As they are stored before they are sealed: what is canonical was parsed from its text. */
function stored(
  bodies: readonly BatchBody[],
  signed: (at: number) => number | null = () => 1,
): RecordBatch[] {
  return bodies.map((one, at) => {
    const text = canonicalJson(one);
    const body: BatchBody = JSON.parse(text);
    const key = signed(at);
    const hash = sha256Hex(text);
    const signature = key === null ? null : { key, value: Buffer.from(hash + hash, 'hex') };
    return {
      stream: 7,
      seq: 100 + 3 * at,
      recordedAtMs: one.toMs + (at % 5) * 17,
      body,
      text,
      hash,
      signature,
    };
  });
}

/** Packs, keeps the texts as they are stored, and opens. */
function again(batches: readonly RecordBatch[]) {
  const texts = createTexts(null, MAX_BYTES);
  const { record, columns } = packHour(batches, texts);
  const kept = texts.pack();
  const opened = openHour(record, createTexts(kept, MAX_BYTES));
  return { record, columns, kept, opened, whole: opened.whole() };
}

const facts = ({ stream, seq, recordedAtMs, text, hash }: RecordBatch) => ({
  stream,
  seq,
  recordedAtMs,
  text,
  hash,
});

/** Everything that a batch may hold, in all the forms of tenancies. */
function varied(stream: Stream): BatchBody[] {
  const [a, b, c] = [
    processFact(1, { cgroup: 'ü\u2028"\\x00', argumentsDigest: 'ab'.repeat(32) }),
    processFact(2, { claims: [{ name: 'X', value: `\u0001${'cd'.repeat(32)}` }] }),
    processFact(3, { exitedMs: START + 5, executable: null }),
  ];
  const base = tenancy('GPU-1', START, 1, a, b, c);
  const tenancies: Tenancy[] = [
    {
      ...base,
      lengthMs: [10, 20, 30],
      activeMs: [10, 0, 7],
      shareMs: [
        [1, 0, 7],
        [9, 0, 0],
        [0, 0, 0],
      ],
    },
    { ...tenancy('GPU-2', START + 3, 50), conflictMs: [50] },
    {
      ...tenancy('GPU-3', START, 60, a),
      ...{ activeMs: null, shareMs: [], partition: [{ gpuInstance: 3, slices: 2 }] },
    },
    {
      ...tenancy('GPU-4', START, 60, b),
      tenants: [{ process: b.key, type: 'A', memoryBytes: null, gpuInstance: 9 }],
    },
  ];
  const sixty = { fromMs: START, toMs: START + 60 };
  return [
    stream.batch(START, START + 60, { inventory: [device('n1', 0)], processes: [a, b, c], tenancies }).body,
    stream.batch(START + 60, START + 60, { processes: [{ ...a, exitedMs: START + 60 }] }).body,
    stream.batch(START, START + 60, {
      host: {
        operatingSystem: 'x',
        kernel: null,
        processor: null,
        cores: 2 ** 40,
        memoryBytes: 0,
        virtualisation: null,
      },
      gaps: [{ device: null, ...sixty, reason: 'poll_late', detail: 'late' }],
      clockSteps: [{ atMs: 0, stepMs: -253_402_300_799_999 }],
      problems: [{ atMs: START, source: 'é', message: '' }],
      tools: [],
      dials: [{ process: a.key, netNamespace: 4_026_531_840, attempts: 1, failed: 0, ...sixty }],
      integrity: [
        { kind: 'preload_set', device: null, process: null, detail: 'é', firstMs: START, lastMs: START },
        { kind: 'tool_changed', device: 'GPU-1', process: a.key, detail: '', firstMs: 0, lastMs: START },
      ],
    }).body,
  ];
}

describe('a sealed hour', () => {
  test('gives back every batch, of several streams, whatever they hold', () => {
    const one = stored(varied(new Stream('n1')));
    const other = stored(varied(new Stream('n1', 'other'))).map((batch) => ({
      ...batch,
      stream: 8,
      seq: batch.seq + 1,
    }));
    const batches = [...one, ...other].sort((a, b) => a.seq - b.seq);
    const { columns, whole, opened } = again(batches);
    expect(columns).toBe(true);
    expect(whole.map(facts)).toEqual(batches.map(facts));
    expect(opened.batches.map(({ body }) => body.tenancies)).toEqual(
      batches.map(({ body }) => body.tenancies),
    );
    expect(sealHash(whole)).toBe(sealHash(batches));
  });

  test('keeps of each stretch the signature that speaks for it, to the last bit', () => {
    const stream = new Stream('n1');
    const bodies = Array.from({ length: 8 }, (_, at) => stream.batch(START + at, START + at + 1).body);
    // The third is missing; the key changes at the sixth; the last one came unsigned.
    const keys = [1, 1, 1, 1, 1, 2, 2, null];
    const batches = stored(bodies, (at) => keys[at] ?? null).filter((_, at) => at !== 2);
    const { columns, whole } = again(batches);
    expect(columns).toBe(true);
    expect(whole.map(facts)).toEqual(batches.map(facts));
    const kept = whole.flatMap(({ body, signature }) =>
      signature === null ? [] : [[body.seq, signature.key]],
    );
    expect(kept).toEqual([
      [2, 1],
      [5, 1],
      [7, 2],
    ]);
    for (const { hash, signature } of whole)
      if (signature !== null) expect(Buffer.from(signature.value).toString('hex')).toBe(hash + hash);
  });

  test('that columns cannot tell is kept as lines, with its signatures', () => {
    const [first, ...rest] = stored(varied(new Stream('n1')));
    if (first === undefined) throw new Error('there is no batch');
    const newer = { ...first.body, tenancies: first.body.tenancies.map((one) => ({ ...one, since: 1 })) };
    const text = canonicalJson(newer);
    const batches = [{ ...first, body: newer, text, hash: sha256Hex(text) }, ...rest];
    const { columns, whole } = again(batches);
    expect(columns).toBe(false);
    expect(whole.map(facts)).toEqual(batches.map(facts));
    expect(whole.filter(({ signature }) => signature !== null)).toHaveLength(1);
  });

  test('that is torn or changed anywhere is found out, and nothing else is thrown', () => {
    const batches = stored(varied(new Stream('n1')));
    const { record, kept } = again(batches);
    const seal = sealHash(batches);
    const texts = createTexts(kept, MAX_BYTES);
    fc.assert(
      fc.property(
        fc.nat(record.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, bits, tear) => {
          const changed = Buffer.from(record);
          changed[at] = (changed[at] ?? 0) ^ bits;
          try {
            const whole = openHour(tear ? record.subarray(0, at) : changed, texts).whole();
            // What is not of the batches themselves: when they came, and the signatures.
            if (sealHash(whole) === seal)
              expect(whole.map(({ text }) => text)).toEqual(batches.map(({ text }) => text));
          } catch (error) {
            expect(error).toMatchObject({ code: 'corrupt' });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the size of a node-day', () => {
  /** One batch a window: eight devices with one or two processes, busy unevenly, polled at no fixed pace. */
  function day(windowMs: number) {
    const stream = new Stream('n1');
    let state = 9;
    const random = (limit: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % limit;
    };
    const digest = (text: string): string => sha256Hex(text);
    const gpus = Array.from({ length: 8 }, (_, index) => device('n1', index));
    const fact = (pid: number): ProcessFact =>
      processFact(pid, {
        cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0',
        ...{ parent: `${pid - 1}/${pid}`, argumentsDigest: digest(`a${pid}`), personal: digest(`p${pid}`) },
      });
    const workers = gpus.map((_, at) =>
      Array.from({ length: 1 + (at % 2) }, (_none, which) => fact(100 + 10 * at + which)),
    );
    const launchers = Array.from({ length: 12 }, (_, at) => fact(300 + at));
    let spans = 0;
    const hours = Array.from({ length: 24 }, (_, hour) => {
      const hourMs = START - 8 * HOUR + hour * HOUR;
      return stored(
        Array.from({ length: HOUR / windowMs }, (_none, window) => {
          const startMs = hourMs + window * windowMs;
          const tenancies = gpus.map(({ uuid }, at) => {
            const here = workers[at] ?? [];
            const active = Math.floor(windowMs * 0.6) + random(Math.floor(windowMs * 0.4));
            const first =
              here.length === 1 ? active : Math.floor(active * 0.4) + random(Math.floor(active * 0.2));
            spans += here.length;
            return {
              ...tenancy(uuid, startMs, windowMs, ...here),
              activeMs: [active],
              shareMs: here.map((_one, row) => [row === 0 ? first : active - first]),
            };
          });
          const told = window === 0 ? { inventory: gpus, processes: [...workers.flat(), ...launchers] } : {};
          return stream.batch(startMs, startMs + windowMs, { tenancies, ...told }).body;
        }),
      );
    });
    return { hours, spans };
  }

  test.each([
    [MINUTE, 3.5],
    [MINUTE / 2, 3],
  ])(
    'with windows of %i ms is at most %d bytes for each process and span, signatures and all',
    (windowMs, most) => {
      const { hours, spans } = day(windowMs);
      const texts = createTexts(null, MAX_BYTES);
      let bytes = 0;
      for (const batches of hours) {
        const { record, columns } = packHour(batches, texts);
        expect(columns).toBe(true);
        bytes += record.length;
      }
      expect((bytes + texts.pack().length) / spans).toBeLessThan(most);
    },
  );
});

describe('columns', () => {
  test('of integers come back, at every size and with every pattern', () => {
    const column = fc.oneof(
      fc.array(fc.integer({ min: -(2 ** 50), max: 2 ** 50 }), { maxLength: 300 }),
      fc.array(fc.nat(30_000), { minLength: 70, maxLength: 300 }),
      fc
        .tuple(fc.array(fc.integer(), { minLength: 1, maxLength: 9 }), fc.nat(40))
        .map(([pattern, times]) => Array.from({ length: times }, () => pattern).flat()),
    );
    fc.assert(
      fc.property(fc.array(column, { maxLength: 6 }), (columns) => {
        const to = new IntegerWriter();
        for (const values of columns) to.add(values);
        const from = new IntegerReader(to.pack(), MAX_BYTES);
        for (const values of columns) expect(from.take(values.length)).toEqual(values);
        expect(() => from.take(1)).toThrow(BadColumns);
      }),
    );
  });

  test('of JSON come back, whatever the values look like', () => {
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(null, true, false),
        fc.integer(),
        fc.string(),
        fc.array(tie('json'), { maxLength: 3 }),
        fc.record({ a: tie('json'), b: tie('json') }, { requiredKeys: [] }),
      ),
    }));
    fc.assert(
      fc.property(fc.array(json, { maxLength: 12 }), (values) => {
        const texts = createTexts(null, MAX_BYTES);
        const to = new IntegerWriter();
        const form = transpose(JSON.parse(JSON.stringify(values)), to, texts);
        const from = new IntegerReader(to.pack(), MAX_BYTES);
        expect(JSON.stringify(restore(form, values.length, from, texts))).toBe(JSON.stringify(values));
      }),
    );
  });

  test('of texts keep their numbers, their digests and whatever else is in them', () => {
    const digest = fc.constantFrom('0'.repeat(64), 'f'.repeat(64), 'ab'.repeat(32), 'é', '\u0001', ' ', '"');
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.array(digest, { maxLength: 5 }).map((parts) => parts.join('')),
          { maxLength: 20 },
        ),
        (all) => {
          const texts = createTexts(null, MAX_BYTES);
          for (const [number, text] of all.entries()) expect(texts.numberOf(text)).toBe(number);
          const kept = createTexts(texts.pack(), MAX_BYTES);
          expect(kept.count).toBe(all.length);
          for (const [number, text] of all.entries()) {
            expect(kept.text(number)).toBe(text);
            expect(kept.numberOf(text)).toBe(number);
          }
        },
      ),
    );
  });
});
