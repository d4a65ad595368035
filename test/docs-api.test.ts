/** docs/API.md is made from the route table, the problems and the metrics; SECURITY.md and OPERATING.md are held to the code. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BATCH_LIMITS } from '../api/contract/batch.ts';
import { ROLES } from '../api/contract/primitives.ts';
import { ACCESS } from '../api/http/access.ts';
import { PROBLEMS } from '../api/http/problem.ts';
import type { Route } from '../api/http/route.ts';
import { startService } from './http/service.ts';

const top = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, top), 'utf8');

function routeRow({ method, path, access, openTo, summary, bodyLimitBytes }: Route): string {
  const needs =
    access === 'open'
      ? 'nothing'
      : `\`${access}\`${openTo === undefined ? '' : ', or nothing from this machine'}`;
  const body = bodyLimitBytes === undefined ? '' : `${bodyLimitBytes / 1024} KiB`;
  return `| \`${method.toUpperCase()} ${path}\` | ${summary} | ${needs} | ${body} |`;
}

function metricRows(text: string): string[] {
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  return [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(
    ([, name, help]) => `| \`${name}\` | ${types.get(name)} | ${help} |`,
  );
}

async function generated(): Promise<string> {
  const service = await startService();
  try {
    const { text } = await service.ask('GET', '/metrics');
    return [
      '# The HTTP API',
      '',
      'Made from the code; a test holds it equal (`UPDATE_DOCS=1` writes it anew). A running service has the whole of it, with every',
      'member of every body, at `/docs` and `/openapi.json`. [CONTRACT.md](CONTRACT.md) says what the words promise.',
      '',
      '## Addresses',
      '',
      '"Needs" is a permission; [SECURITY.md](SECURITY.md) has the roles that have it. What is not known, a query parameter or',
      'a member of a body, is refused.',
      '',
      '| address | what | needs | body at most |',
      '|---|---|---|---|',
      ...service.app.routes.map(routeRow),
      '',
      '## Problems',
      '',
      'Errors are RFC 9457 problems (`application/problem+json`) with a `code`, and `errors` as `{field, message}` for what was',
      'sent wrong.',
      '',
      '| code | status | title | what to do |',
      '|---|---|---|---|',
      ...Object.entries(PROBLEMS).map(
        ([code, { status, title, remedy }]) => `| \`${code}\` | ${status} | ${title} | ${remedy} |`,
      ),
      '',
      '## Metrics',
      '',
      'At `/metrics`, in the Prometheus text format. No label names a job, a process or a person.',
      '',
      '| metric | type | what |',
      '|---|---|---|',
      ...metricRows(text),
      '',
    ].join('\n');
  } finally {
    await service.stop();
  }
}

test('docs/API.md lists every address, problem and metric', async () => {
  const text = await generated();
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(new URL('docs/API.md', top), text);
  expect(read('docs/API.md')).toBe(text);
});

test('docs/SECURITY.md has a row for every role and exactly the permissions of the code', () => {
  const text = read('docs/SECURITY.md');
  for (const role of ROLES) expect(text).toMatch(new RegExp(`^\\| ${role} \\| .{4,} \\|$`, 'm'));
  const rows = [...text.matchAll(/^\| `([a-z]+:[a-z]+)` \| (.+) \|$/gm)].map(([, permission, roles]) => [
    permission,
    roles?.split(', '),
  ]);
  expect(rows).toEqual(Object.entries(ACCESS).map(([permission, roles]) => [permission, [...roles]]));
});

test('docs/OPERATING.md names every variable of the service and its commands, and no other', () => {
  const sources = readdirSync(new URL('api/', top), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => read(`api/${path}`));
  const variables = (texts: readonly string[]): string[] =>
    [...new Set(texts.flatMap((text) => text.match(/GPULEDGER_[A-Z_]+/g) ?? []))].sort();
  // How `start` and its own agent speak is nobody else's business.
  const ours = variables(sources).filter((name) => !name.startsWith('GPULEDGER_AGENT_'));
  const documented = variables([read('docs/OPERATING.md')]);
  const ofAgent = variables([read('docs/AGENT.md')]);
  expect(ours.filter((name) => !documented.includes(name) && !ofAgent.includes(name))).toEqual([]);
  expect(documented.filter((name) => !ours.includes(name))).toEqual([]);
});

test('limits that documents state are those of the code', () => {
  expect(read('docs/OPERATING.md')).toContain(`A body may be ${BATCH_LIMITS.requestBytes / 1024 ** 2} MiB`);
});
