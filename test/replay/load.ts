/** Reads scenario files. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { ScenarioError } from './build.ts';
import { Scenario } from './format.ts';

const MAX_ALIASES = 1000;

/** Throws `ScenarioError`, which names the file, the field, what is wrong with it and what it should be. */
export function loadScenario(path: string): Scenario {
  return readScenario(readFileSync(path, 'utf8'), path);
}

/** The same for a text; `name` stands for the file in messages. */
export function readScenario(text: string, name: string): Scenario {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw new ScenarioError(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const read = Scenario.safeParse(document);
  if (read.success) return read.data;
  const lines = read.error.issues.flatMap((issue) => sayings(issue)).map((line) => `\n  ${line}`);
  throw new ScenarioError(`${name}: see docs/SCENARIOS.md${lines.join('')}`);
}

function sayings(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String);
  const field = (name?: string): string =>
    [...at, ...(name === undefined ? [] : [name])].join('.') || 'the file';
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const near = nearest(key);
      return `${field(key)}: is no field${near === null ? '' : `; did you mean "${near}"?`}`;
    });
  return [`${field()}: ${issue.message}`];
}

/** The field that is written most like it; null: none is near. */
function nearest(word: string): string | null {
  const lengthened = (name: string): number => Math.abs(name.length - word.length);
  const near = [...fieldNames()]
    .map((name) => ({ name, far: distance(word, name) }))
    .filter(({ far }) => far <= MAX_FAR)
    .sort((a, b) => a.far - b.far || lengthened(a.name) - lengthened(b.name));
  return near[0]?.name ?? null;
}

const MAX_FAR = 2;

/** Changes of one letter that make one word the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j += 1) {
      const changed = (row[j - 1] ?? 0) + (b[j - 1] === char ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, changed));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function fieldNames(): ReadonlySet<string> {
  const names = new Set<string>();
  const walk = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    for (const [key, value] of Object.entries(part)) {
      if (key === 'properties') for (const name of Object.keys(Object(value))) names.add(name);
      walk(value);
    }
  };
  walk(z.toJSONSchema(Scenario, { io: 'input' }));
  return names;
}
