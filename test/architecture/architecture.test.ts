import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { importsOf, LIMITS, type Sources, violations } from './rules.ts';

const top = new URL('../../', import.meta.url);

/** Every TypeScript file of the repository, tracked or new. */
function tree(): Sources {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.tsx'], {
    cwd: top,
    encoding: 'utf8',
  });
  const paths = listed.split('\n').filter((path) => path.includes('/'));
  return new Map(paths.map((path) => [path, readFileSync(new URL(path, top), 'utf8')]));
}

test('the tree follows the house rules', () => {
  const sources = tree();
  // A checker that looked at nothing would pass too.
  expect(sources.size).toBeGreaterThan(40);
  expect([...sources].flatMap(([path, source]) => importsOf(path, source)).length).toBeGreaterThan(80);
  expect(violations(sources)).toEqual([]);
});

describe('planted faults are found', () => {
  const faults: [string, string, string, RegExp][] = [
    [
      'the domain imports the store',
      'api/domain/x.ts',
      "import { a } from '../store/store.ts';",
      /may not import/,
    ],
    ['the domain imports node', 'api/domain/x.ts', "import { a } from 'node:fs';", /pure/],
    [
      'the agent imports a service',
      'collector/x.ts',
      "import { a } from '../api/services/ingest.ts';",
      /may not import/,
    ],
    [
      'a type-only arrow counts too',
      'api/store/x.ts',
      "import type { a } from '../http/a.ts';",
      /may not import/,
    ],
    [
      'a dynamic import counts too',
      'api/contract/x.ts',
      "const a = await import('../domain/a.ts');",
      /may not import/,
    ],
    [
      'a second place runs programs',
      'collector/sources/x.ts',
      "import { spawn } from 'node:child_process';",
      /child_process/,
    ],
    ['a second place reads the clock', 'api/services/x.ts', 'const now = Date.now();', /Date\.now/],
    [
      'a second place opens the database',
      'api/http/x.ts',
      "import D from 'better-sqlite3';",
      /better-sqlite3/,
    ],
    ['a page calls fetch', 'web/pages/x.tsx', "await fetch('/v1/jobs');", /fetch/],
    [
      'a page bundles a schema',
      'web/x.ts',
      "import { Sums } from '../api/contract/ledger.ts';",
      /types only/,
    ],
    ['a long file', 'api/http/x.ts', '\n'.repeat(LIMITS.fileLines), /lines/],
    ['a long line', 'api/http/x.ts', `// ${'x'.repeat(LIMITS.lineChars)}`, /longer/],
    ['a nameless name', 'api/http/utils.ts', '', /name/],
    ['a barrel', 'api/http/x.ts', "export * from './y.ts';", /re-exports/],
    ['an assertion', 'api/http/x.ts', 'const a = b as Job;', /assertion/],
    ['a file outside every layer', 'lib/x.ts', '', /no layer/],
  ];
  test.each(faults)('%s', (_name, path, source, expected) => {
    expect(violations(new Map([[path, source]])).join('\n')).toMatch(expected);
  });

  test('and what is allowed is not', () => {
    const fine: Sources = new Map([
      [
        'api/domain/x.ts',
        "import type { A } from './a.ts';\nconst k = ['a'] as const; // Date.now() is not called here",
      ],
      ['collector/x.ts', "import { WINDOW_MS } from '../api/contract/batch.ts';"],
      ['web/x.ts', "import type { Sums } from '../api/contract/ledger.ts';"],
      ['api/clock.ts', 'export const now = () => Date.now();'],
    ]);
    expect(violations(fine)).toEqual([]);
  });
});
