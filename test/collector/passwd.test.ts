import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../../collector/ports/real.ts';
import { createUserNames, parsePasswd } from '../../collector/sources/passwd.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'passwd-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('user names', () => {
  it('takes the first entry of an id and passes over what is none', () => {
    const text =
      '# comment\n+::::::\nroot:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad:x:12x:0::\n:x:5:5::\n\nal\x1bice:x:2001:2001::/:\n';
    expect([...parsePasswd(Buffer.from(text))]).toEqual([
      [0, 'root'],
      [2001, 'al\\x1bice'],
    ]);
  });

  it('reads a file again when it has changed, and keeps its names when it has gone', () => {
    const path = join(folder, 'passwd');
    writeFileSync(path, 'alice:x:7:7::/:/bin/sh\n');
    const nameOf = createUserNames(files, path);
    expect([nameOf(7), nameOf(8)]).toEqual(['alice', null]);
    writeFileSync(path, 'alice:x:7:7::/:/bin/sh\nbob:x:8:8::/:/bin/sh\n');
    expect(nameOf(8)).toBe('bob');
    rmSync(path);
    expect(nameOf(8)).toBe('bob');
  });

  it('knows nobody without a file', () => {
    expect(createUserNames(files, join(folder, 'missing'))(0)).toBeNull();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const name of parsePasswd(Buffer.from(bytes)).values())
          expect(name.length).toBeLessThanOrEqual(253);
      }),
    );
  });
});
