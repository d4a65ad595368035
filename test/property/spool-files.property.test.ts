// What lies in the spool is taken back to the last bit, or not at all.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { headAfter, newHead } from '../../collector/batch.ts';
import { files } from '../../collector/ports/real.ts';
import { readBatchFile, readHead, writeHead } from '../../collector/spool-files.ts';
import { batchAt, nextStream } from '../collector/spool-fixture.ts';

const RUNS = { numRuns: 300 };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gpuledger-spool-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const batch = batchAt({ ...newHead(nextStream()), nextSeq: 7, lastHash: 'a'.repeat(64) }, 3);

/** The file after one byte became another, after a cut, or with bytes of somebody else in between. */
const damage = fc.oneof(
  fc.record({ at: fc.nat(), byte: fc.nat(255) }).map(
    ({ at, byte }) =>
      (text: Buffer): Buffer =>
        Buffer.from(text.map((old, index) => (index === at % text.length ? byte : old))),
  ),
  fc.nat().map(
    (at) =>
      (text: Buffer): Buffer =>
        text.subarray(0, at % text.length),
  ),
  fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }) }).map(
    ({ at, bytes }) =>
      (text: Buffer): Buffer =>
        Buffer.concat([text.subarray(0, at % text.length), bytes, text.subarray(at % text.length)]),
  ),
);

describe('a damaged file', () => {
  it('of a batch gives that batch or none', () => {
    const path = join(folder, '000000000007.json');
    const text = Buffer.from(JSON.stringify(batch));
    writeFileSync(path, text);
    expect(readBatchFile(files, path)?.batch).toEqual(batch);
    fc.assert(
      fc.property(damage, (damaged) => {
        writeFileSync(path, damaged(text));
        const read = readBatchFile(files, path);
        if (read !== null) expect(read.batch).toEqual(batch);
      }),
      RUNS,
    );
  });

  it('of the chain’s end gives that end, or says that it is damaged', () => {
    const path = join(folder, 'stream.json');
    writeHead(files, path, headAfter(batch), 1_790_000_000_000, null);
    const text = readFileSync(path);
    const head = readHead(files, path);
    expect(head).toMatchObject({ nextSeq: 8, lastHash: batch.hash });
    fc.assert(
      fc.property(damage, (damaged) => {
        writeFileSync(path, damaged(text));
        expect(['damaged', head]).toContainEqual(readHead(files, path));
      }),
      RUNS,
    );
  });
});
