/** The format of scenarios: its schema as a file, and what is said of a file that is wrong. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { build } from './build.ts';
import { Scenario } from './format.ts';
import { readScenario } from './load.ts';

const DOCS = new URL('../../docs/', import.meta.url);
const SCHEMA = new URL('scenario.schema.json', DOCS);

test('docs/scenario.schema.json is the schema of the code', () => {
  const schema = `${JSON.stringify(z.toJSONSchema(Scenario, { io: 'input' }), null, 2)}\n`;
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(SCHEMA, schema);
  expect(readFileSync(SCHEMA, 'utf8')).toBe(schema);
});

/** Names of all fields, at whatever depth. */
function fieldsOf(part: unknown, found = new Set<string>()): Set<string> {
  if (typeof part !== 'object' || part === null) return found;
  for (const [key, value] of Object.entries(part)) {
    if (key === 'properties') for (const name of Object.keys(Object(value))) found.add(name);
    fieldsOf(value, found);
  }
  return found;
}

test('docs/SCENARIOS.md names every field', () => {
  const page = readFileSync(new URL('SCENARIOS.md', DOCS), 'utf8');
  const fields = fieldsOf(z.toJSONSchema(Scenario, { io: 'input' }));
  expect(fields.size).toBeGreaterThan(80);
  expect([...fields].filter((field) => !new RegExp(`\\b${field}\\b`).test(page))).toEqual([]);
});

test('the examples of docs/SCENARIOS.md are scenarios', () => {
  const page = readFileSync(new URL('SCENARIOS.md', DOCS), 'utf8');
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  expect(examples.length).toBeGreaterThan(0);
  for (const text of examples) expect(build(readScenario(text, 'SCENARIOS.md')).nodes.size).toBe(1);
});

const HEAD = 'id: X\ntitle: x\nfamily: x\n';
test.each([
  ['a field that is not there', 'lenght: 24h', /x\.yaml.*\n.*lenght: is no field; did you mean "length"\?/],
  [
    'one deep inside',
    'processes: {p: {uses: [{gpus: 0, laod: a}]}}',
    /processes\.p\.uses\.0\.laod: .*"load"/,
  ],
  ['a time', 'length: soon', /length: must be a time from the start: seconds such as 600/],
  ['a size', 'loads: {a: {memory: 62}}', /loads\.a\.memory: /],
  ['GPUs', 'processes: {p: {opens: all}}', /processes\.p\.opens: must be GPUs: an index such as 3/],
  ['a fault', 'faults: [{kind: agent_asleep}]', /faults\.0\.kind: /],
  ['no YAML', 'length: [1', /x\.yaml: /],
])('a wrong file is refused with its field and a remedy: %s', (_, text, message) => {
  expect(() => readScenario(HEAD + text, 'x.yaml')).toThrow(message);
});

test.each([
  ['a parent', 'processes: {p: {parent: q}}', /processes\.p\.parent: no process is named q/],
  [
    'the job that is computed for',
    'loads: {l: {sm: 9, memory: 1GiB}}\nprocesses: {p: {uses: [{gpus: 0, load: l}]}}',
    /processes\.p\.truth: it computes for no job that is named; say truthJob/,
  ],
  ['a user', 'processes: {p: {user: alice}}', /processes\.p\.user: users has no alice/],
  ['a load', 'processes: {p: {uses: [{gpus: 0, load: a}]}}', /processes\.p\.uses: loads has no a/],
  ['a job', 'processes: {p: {job: "1"}}', /processes\.p\.job: jobs has no 1/],
  ['a node', 'processes: {p: {node: n9}}', /processes\.p\.node: nodes has no n9/],
  [
    'a node that is down',
    'processes: {p: {start: 910}}\nfaults: [{kind: reboot, at: 900}]',
    /processes\.p\.start: its node is down then/,
  ],
  [
    'a reboot of a node that is down',
    'faults: [{kind: reboot, at: 300, for: 60}, {kind: reboot, at: 250, for: 180}]',
    /faults: gpu-n1 is down when it is to reboot/,
  ],
])('a name that is not there is refused with its place: %s', (_, text, message) => {
  expect(() => build(readScenario(HEAD + text, 'x.yaml'))).toThrow(message);
});
