/**
 * The house rules that a machine can check: who may import whom, where the outside world may be touched, sizes and
 * names. Works on a map of path → source text, so that the tests can plant faults and see them found.
 */

export type Sources = ReadonlyMap<string, string>;

/** What each layer may import of ours, by path prefix; the longest matching prefix of a file counts. */
const LAYERS: readonly { readonly of: string; readonly may: readonly string[] }[] = [
  { of: 'api/contract/', may: ['api/contract/'] },
  { of: 'api/schedulers/', may: ['api/schedulers/', 'api/contract/'] },
  { of: 'api/domain/', may: ['api/domain/', 'api/contract/'] },
  { of: 'api/store/', may: ['api/store/', 'api/domain/', 'api/contract/'] },
  {
    of: 'api/services/',
    may: ['api/services/', 'api/store/', 'api/domain/', 'api/contract/', 'api/clock.ts'],
  },
  {
    of: 'api/http/',
    may: ['api/http/', 'api/services/', 'api/domain/', 'api/contract/', 'api/clock.ts', 'api/config.ts'],
  },
  { of: 'api/cli/', may: ['api/'] },
  { of: 'api/', may: ['api/'] },
  { of: 'collector/', may: ['collector/', 'api/contract/'] },
  { of: 'web/', may: ['web/', 'api/contract/'] },
  { of: 'test/', may: ['test/', 'api/', 'collector/', 'web/'] },
];

/** Modules and globals that may appear in named places only. Tests may use anything. */
const CONFINED: readonly {
  readonly what: string;
  readonly pattern: RegExp;
  readonly to: readonly string[];
}[] = [
  {
    what: 'child_process',
    pattern: /from 'node:child_process'/,
    to: [
      'collector/ports/execute.ts',
      'collector/ports/launcher.ts',
      'api/cli/start.ts',
      'api/cli/run.ts',
      'api/schedulers/program.ts',
    ],
  },
  { what: 'better-sqlite3', pattern: /from 'better-sqlite3'/, to: ['api/store/sqlite/'] },
  { what: 'express', pattern: /from 'express'/, to: ['api/http/', 'api/app.ts'] },
  { what: 'chart.js', pattern: /from 'chart\.js'/, to: ['web/charts/', 'web/components/'] },
  {
    what: 'systeminformation',
    pattern: /(from|import\() ?'systeminformation'/,
    to: ['collector/sources/host.ts'],
  },
  {
    what: 'fetch',
    pattern: /(?<![.\w])fetch\(/,
    to: ['collector/ports/', 'api/cli/client.ts', 'web/client.ts'],
  },
  {
    what: 'Date.now',
    pattern: /Date\.now\(/,
    to: ['api/clock.ts', 'collector/ports/real.ts', 'api/cli/', 'web/'],
  },
  { what: 'Math.random', pattern: /Math\.random\(/, to: [] },
];

/** Type assertions hide what was not checked. Each exception says why it is one. */
const ASSERTIONS_ALLOWED: ReadonlyMap<string, string> = new Map([
  ['api/domain/cell.ts', 'the one place that brands a process id'],
]);

export const LIMITS = { fileLines: 400, lineChars: 140 } as const;
/** Spelt in two halves, so that this file is not found by its own rule. */
const LEFTOVER = new RegExp(`\\b(${['FIX', 'ME'].join('')}|${['XX', 'X'].join('')})\\b`);
const BANNED_NAMES = /(^|\/)(utils?|helpers?|common|shared|managers?|misc)(\.tsx?|\/)/;

function stripComments(source: string): string {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, (text) => text.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

function resolveImport(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** The relative imports of a file, as paths from the top. */
export function importsOf(path: string, source: string): string[] {
  const found: string[] = [];
  for (const match of stripComments(source).matchAll(/(?:from|import|import\() ?'(\.{1,2}\/[^']+)'/g)) {
    if (match[1] !== undefined) found.push(resolveImport(path, match[1]));
  }
  return found;
}

function arrowViolations(path: string, source: string): string[] {
  const layer = LAYERS.filter((candidate) => path.startsWith(candidate.of)).sort(
    (a, b) => b.of.length - a.of.length,
  )[0];
  if (!layer) return path.includes('/') ? [`${path}: belongs to no layer`] : [];
  return importsOf(path, source)
    .filter((target) => !layer.may.some((prefix) => target.startsWith(prefix)))
    .map((target) => `${path}: ${layer.of} may not import ${target}`);
}

function confinementViolations(path: string, code: string): string[] {
  if (path.startsWith('test/')) return [];
  const found = CONFINED.filter(
    (rule) => rule.pattern.test(code) && !rule.to.some((prefix) => path.startsWith(prefix)),
  ).map((rule) => `${path}: ${rule.what} belongs in ${rule.to.join(', ') || 'no file'}`);
  if (path.startsWith('api/domain/') && /from 'node:/.test(code))
    found.push(`${path}: the domain is pure, no node: modules`);
  if (path.startsWith('web/') && /^import (?!type)[^;]*api\/contract\//m.test(code))
    found.push(`${path}: pages import types only from the contract`);
  return found;
}

function textViolations(path: string, source: string, code: string): string[] {
  const found: string[] = [];
  const lines = source.split('\n');
  if (lines.length > LIMITS.fileLines)
    found.push(`${path}: ${lines.length} lines, the limit is ${LIMITS.fileLines}`);
  if (BANNED_NAMES.test(path)) found.push(`${path}: say in the name what is in it`);
  for (const [index, line] of lines.entries())
    if (line.length > LIMITS.lineChars)
      found.push(`${path}:${index + 1}: longer than ${LIMITS.lineChars} characters`);
  const assertion = code
    .split('\n')
    .findIndex(
      (line) =>
        /[\w)\]}] as (?!const\b)[A-Za-z{[(]/.test(line.replace(/'[^']*'|`[^`]*`|"[^"]*"/g, "''")) &&
        !/^\s*(import|export)\b|^\s*\w+ as \w+,?$/.test(line),
    );
  if (assertion >= 0 && !path.startsWith('test/') && !ASSERTIONS_ALLOWED.has(path))
    found.push(`${path}:${assertion + 1}: a type assertion; narrow instead`);
  if (/^(export \* from|export \{[^}]*\} from)/m.test(code))
    found.push(`${path}: re-exports; import from where it is`);
  if (LEFTOVER.test(source)) found.push(`${path}: leftover mark`);
  return found;
}

/** Every violation in the given sources, as "path: what is wrong". */
export function violations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    const code = stripComments(source);
    return [
      ...arrowViolations(path, source),
      ...confinementViolations(path, code),
      ...textViolations(path, source, code),
    ];
  });
}
