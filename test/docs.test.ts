/** Documents that can drift are held to the code here. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { GAP_REASONS } from '../api/contract/batch.ts';
import { BatchRequestSchema } from '../api/contract/batch-schema.ts';
import { BUCKETS, EVIDENCE, REASONS } from '../api/domain/bucket.ts';

const top = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, top), 'utf8');
const Package = z.object({
  scripts: z.record(z.string(), z.string()),
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string()),
  optionalDependencies: z.record(z.string(), z.string()),
});
const manifest = Package.parse(JSON.parse(read('package.json')));

test('docs/dependencies.md lists exactly what package.json has', () => {
  const listed = [...read('docs/dependencies.md').matchAll(/^\| (@?[a-z][\w./-]*) \|/gm)].map(
    (match) => match[1],
  );
  const wanted = [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies].flatMap(
    Object.keys,
  );
  expect(listed.filter((name) => name !== 'package').sort()).toEqual(wanted.sort());
});

test('versions are exact and the lock names no addresses', () => {
  const versions = [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies].flatMap(
    Object.values,
  );
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  expect(read('package-lock.json')).not.toMatch(/"resolved": *"http/);
});

test('docs/ACCOUNTING.md explains every bucket, reason, kind of evidence and cause of a gap', () => {
  const text = read('docs/ACCOUNTING.md');
  const missing = [...BUCKETS, ...REASONS, ...EVIDENCE, ...GAP_REASONS].filter(
    (word) => !text.includes(`\`${word}\``),
  );
  expect(missing).toEqual([]);
});

/** Members of every object in a JSON schema, as "<name of the object>.<member>". */
function membersOf(schema: unknown, name: string, found = new Set<string>()): Set<string> {
  if (Array.isArray(schema)) for (const one of schema) membersOf(one, name, found);
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return found;
  for (const [key, value] of Object.entries(schema)) {
    if (key !== 'properties') {
      if (['items', 'anyOf', 'oneOf', 'allOf'].includes(key)) membersOf(value, name, found);
      continue;
    }
    for (const [member, inner] of Object.entries(z.record(z.string(), z.unknown()).parse(value))) {
      if (name !== '') found.add(`${name}.${member}`);
      membersOf(inner, member, found);
    }
  }
  return found;
}

test('docs/AGENT.md lists every field that an agent reports, and no other', () => {
  const schema = z.toJSONSchema(BatchRequestSchema, { unrepresentable: 'any' }).$defs?.['BatchRequest'];
  const section = read('docs/AGENT.md').split('## What is kept about processes and people')[1] ?? '';
  const words = (text: string): string[] => [...text.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');
  const listed = [...section.matchAll(/^\| ([^:|]+): ([^|]+) \|/gm)].flatMap(
    ([, objects = '', members = '']) =>
      words(objects).flatMap((object) => words(members).map((member) => `${object}.${member}`)),
  );
  expect(listed.toSorted()).toEqual([...membersOf(schema, '')].toSorted());
});

test('every npm script and file that the README names is there', () => {
  const text = read('README.md');
  const scripts = [...text.matchAll(/npm run (?:-s |--silent )?([\w:-]+)/g)].map((match) => match[1] ?? '');
  expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);
  const links = [...text.matchAll(/\]\((?!http|#)([^)\s]+)\)/g)].map((match) => match[1] ?? '');
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((path) => !existsSync(new URL(path, top)))).toEqual([]);
});

test('no document or source names a path of the machine it was written on', () => {
  const documents = [
    'README.md',
    'CHANGELOG.md',
    'docs/ARCHITECTURE.md',
    'docs/ACCOUNTING.md',
    'docs/OPERATING.md',
  ];
  for (const path of documents) expect(read(path)).not.toMatch(/\/work\/|\/root\//);
});
