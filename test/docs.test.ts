/** Documents that can drift are held to the code here. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { GAP_REASONS } from '../api/contract/batch.ts';
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
