import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { headAfter } from '../../collector/batch.ts';
import type { Spool } from '../../collector/spool.ts';
import { SpoolError } from '../../collector/spool-files.ts';
import { batchAt, faultyFiles, numbersOf, open, temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

function fill(spool: Spool, from: number, to: number): void {
  for (let number = from; number <= to; number += 1)
    expect(spool.append(batchAt(spool.head(), number))).toEqual({ ok: true });
}
const all = (spool: Spool) => spool.oldest(1000, 1e9);
const filesOf = (spool: Spool) => readdirSync(join(folder.path, spool.head().stream)).sort();
const pathOf = (spool: Spool, seq: number): string =>
  join(folder.path, spool.head().stream, filesOf(spool)[seq - 1] ?? '');

function expectChained(spool: Spool): void {
  const batches = all(spool);
  for (const [i, batch] of batches.entries()) {
    expect(batch.body.stream).toBe(spool.head().stream);
    const before = batches[i - 1];
    if (before !== undefined) expect(batch.body.previousHash).toBe(before.hash);
  }
  const last = batches.at(-1);
  if (last !== undefined) expect(spool.head()).toEqual(headAfter(last));
}

describe('the spool', () => {
  it('keeps batches over a restart, in order and chained', () => {
    fill(open(folder.path), 1, 12);
    const again = open(folder.path);
    expect(numbersOf(all(again))).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']);
    expect(again.takeTroubles()).toEqual({ lost: [], problems: [] });
    fill(again, 13, 14);
    expectChained(open(folder.path));
  });

  it('continues the chain when it is empty', () => {
    const spool = open(folder.path);
    fill(spool, 1, 3);
    const head = spool.head();
    spool.remove([1, 2, 3]);
    expect(filesOf(spool)).toEqual(['000000000003.json']);
    expect(all(spool)).toEqual([]);
    const again = open(folder.path);
    expect(again.head()).toEqual(head);
    expect(numbersOf(all(again))).toEqual(['3']);
    again.remove([3]);
    expect(again.earlier.lastToMs).toBe(batchAt(head, 3).body.toMs);
    fill(again, 4, 4);
    expect(all(again)[0]?.body.seq).toBe(4);
    expect(all(again)[0]?.body.previousHash).toBe(head.lastHash);
  });

  it('forgets what was sent when it stops in order, and keeps none but the last of it before', () => {
    const spool = open(folder.path);
    fill(spool, 1, 3);
    spool.remove([1, 2]);
    expect(filesOf(spool)).toEqual(['000000000002.json', '000000000003.json']);
    spool.markStopped(5);
    expect(filesOf(spool)).toEqual(['000000000002.json', '000000000003.json']);
    spool.remove([3]);
    expect(filesOf(spool)).toEqual(['000000000003.json']);
    spool.markStopped(7);
    expect(filesOf(spool)).toEqual([]);
    expect(open(folder.path).earlier.stoppedAtMs).toBe(7);
  });

  it('goes on when somebody has cleaned the empty folder of its stream away', () => {
    const spool = open(folder.path);
    fill(spool, 1, 1);
    spool.remove([1]);
    rmSync(join(folder.path, spool.head().stream), { recursive: true });
    fill(spool, 2, 2);
    const again = open(folder.path);
    rmSync(join(folder.path, again.head().stream), { recursive: true });
    fill(open(folder.path), 3, 3);
  });

  it('gives as many of the oldest as asked for, and at least one', () => {
    const spool = open(folder.path);
    fill(spool, 1, 5);
    expect(numbersOf(spool.oldest(2, 1e9))).toEqual(['1', '2']);
    expect(numbersOf(spool.oldest(64, 1))).toEqual(['1']);
    spool.remove([1, 2]);
    expect(numbersOf(spool.oldest(64, 1e9))).toEqual(['3', '4', '5']);
  });

  it('refuses what passes its bound, without a hole in the chain', () => {
    const spool = open(folder.path, undefined, 2000);
    let number = 1;
    while (spool.append(batchAt(spool.head(), number)).ok) number += 1;
    expect(number).toBeGreaterThan(2);
    expect(spool.append(batchAt(spool.head(), number))).toMatchObject({ ok: false, full: true });
    expect(spool.bytes()).toBeLessThanOrEqual(2000);
    spool.remove([1]);
    fill(spool, number + 1, number + 1);
    expectChained(open(folder.path));
  });

  it('remembers an orderly stop until something new is kept', () => {
    const spool = open(folder.path);
    fill(spool, 1, 1);
    spool.markStopped(77);
    expect(open(folder.path).earlier.stoppedAtMs).toBe(77);
    const again = open(folder.path);
    fill(again, 2, 2);
    expect(open(folder.path).earlier.stoppedAtMs).toBeNull();
  });

  it('sets a file aside that is cut at any byte, and puts the rest into a new stream', () => {
    const spool = open(folder.path);
    fill(spool, 1, 4);
    const { size } = statSync(pathOf(spool, 2));
    for (let length = 0; length < size; length += 7) {
      const trial = temporaryFolder();
      const original = open(trial.path);
      fill(original, 1, 4);
      const damaged = join(trial.path, original.head().stream, '000000000002.json');
      truncateSync(damaged, length);
      const recovered = open(trial.path);
      expect(numbersOf(all(recovered))).toEqual(['1', '3', '4']);
      expect(recovered.head().stream).not.toBe(original.head().stream);
      expect(recovered.takeTroubles()).toEqual({
        lost: [{ fromMs: batchAt(spool.head(), 1).body.toMs, toMs: batchAt(spool.head(), 3).body.fromMs }],
        problems: ['1 damaged batches were set aside in corrupt/'],
      });
      expect(readdirSync(join(trial.path, 'corrupt'))).toHaveLength(1);
      expectChained(recovered);
      trial.remove();
    }
  });

  it('finds a single changed bit anywhere in a batch', () => {
    const spool = open(folder.path);
    fill(spool, 1, 1);
    const { size } = statSync(pathOf(spool, 1));
    for (let at = 0; at < size; at += 5) {
      const trial = temporaryFolder();
      const original = open(trial.path);
      fill(original, 1, 1);
      const changed = Buffer.from(
        readFileSync(join(trial.path, original.head().stream, '000000000001.json')),
      );
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(join(trial.path, original.head().stream, '000000000001.json'), changed);
      const recovered = open(trial.path);
      expect(numbersOf(all(recovered))).toEqual([]);
      expect(recovered.takeTroubles().problems).toEqual(['1 damaged batches were set aside in corrupt/']);
      trial.remove();
    }
  });

  it('starts a new stream where a file or stream.json is missing or damaged', () => {
    const spool = open(folder.path);
    fill(spool, 1, 5);
    rmSync(pathOf(spool, 3));
    const second = open(folder.path);
    expect(numbersOf(all(second))).toEqual(['1', '2', '4', '5']);
    expect(second.takeTroubles().lost).toHaveLength(1);
    writeFileSync(join(folder.path, 'stream.json'), '{"stream":');
    const third = open(folder.path);
    expect(numbersOf(all(third))).toEqual(['1', '2', '4', '5']);
    expect(third.takeTroubles().problems).toEqual(['stream.json was damaged: a new stream begins']);
    expectChained(third);
    expect(new Set([spool, second, third].map((one) => one.head().stream)).size).toBe(3);
  });

  it('does not call time lost in which nothing was kept', () => {
    const spool = open(folder.path);
    fill(spool, 1, 2);
    fill(spool, 5, 6);
    expect(spool.restart()).toBe(true);
    expect(spool.takeTroubles()).toEqual({ lost: [], problems: [] });
    expect(numbersOf(all(spool))).toEqual(['1', '2', '5', '6']);
    expectChained(spool);
  });

  it('reports the time after a damaged newest batch as lost up to now', () => {
    const spool = open(folder.path);
    fill(spool, 1, 2);
    truncateSync(pathOf(spool, 2), 10);
    const { lost } = open(folder.path).takeTroubles();
    expect(lost).toEqual([{ fromMs: batchAt(spool.head(), 1).body.toMs, toMs: null }]);
  });

  it('loses only the damaged batch when one is damaged while the agent runs', () => {
    const spool = open(folder.path);
    fill(spool, 1, 3);
    truncateSync(pathOf(spool, 2), 10);
    expect(numbersOf(all(spool))).toEqual(['1']);
    spool.remove([1]);
    expect(all(spool)).toEqual([]);
    expect(numbersOf(all(spool))).toEqual(['3']);
    const { fromMs, toMs } = batchAt(spool.head(), 2).body;
    expect(spool.takeTroubles()).toEqual({
      lost: [{ fromMs, toMs }],
      problems: ['1 damaged batches were set aside in corrupt/'],
    });
    fill(spool, 4, 4);
    expect(numbersOf(all(spool))).toEqual(['3', '4']);
    expectChained(spool);
    expect(open(folder.path).earlier.lastToMs).toBe(batchAt(spool.head(), 4).body.toMs);
  });

  it('says in words that a folder cannot be used', () => {
    writeFileSync(join(folder.path, 'file'), '');
    expect(() => open(join(folder.path, 'file'))).toThrow(SpoolError);
    expect(() => open(join(folder.path, 'file'))).toThrow(/cannot use the spool folder .*--spool/);
  });

  it('takes a refusing disk as an answer and goes on when it is well again', () => {
    const disk = faultyFiles();
    const spool = open(folder.path, disk);
    fill(spool, 1, 2);
    disk.readOnly = true;
    expect(spool.append(batchAt(spool.head(), 3))).toMatchObject({ ok: false, full: false });
    spool.remove([1, 2]);
    expect(spool.restart()).toBe(false);
    disk.readOnly = false;
    fill(spool, 4, 4);
    expect(numbersOf(all(spool))).toEqual(['4']);
    expectChained(spool);
  });

  it('loses nothing that it had promised to keep, wherever the disk dies', () => {
    let died = 0;
    for (let failFrom = 1; ; failFrom += 1) {
      const trial = temporaryFolder();
      const disk = faultyFiles();
      disk.failFrom = failFrom;
      const kept = new Set<string>();
      let finished = false;
      try {
        const spool = open(trial.path, disk);
        for (let number = 1; number <= 4; number += 1)
          if (spool.append(batchAt(spool.head(), number)).ok) kept.add(String(number));
        spool.remove([1]);
        kept.delete('1');
        spool.restart();
        spool.remove(spool.oldest(1, 1e9).map(({ body }) => body.seq));
        kept.delete('2');
        spool.markStopped(1);
        finished = disk.operations <= failFrom;
      } catch (error) {
        expect(error).toBeInstanceOf(SpoolError);
      }
      const after = open(trial.path);
      const found = numbersOf(all(after));
      for (const number of kept) expect(found).toContain(number);
      expect(new Set(found).size).toBe(found.length);
      expect(after.takeTroubles().lost).toEqual([]);
      expectChained(after);
      trial.remove();
      if (finished) break;
      died += 1;
      expect(failFrom).toBeLessThan(200);
    }
    expect(died).toBeGreaterThan(15);
  });
});
