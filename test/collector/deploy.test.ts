// The recipes of docs/deploy/ and docs/AGENT.md, held to the programs: every flag, variable and path in them is real.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../collector/config.ts';
import { temporaryFolder } from '../e2e/processes.ts';

const top = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(top, path), 'utf8');
const RECIPES = [
  'docs/deploy/agent.conf',
  'docs/deploy/gpuledger-agent.service',
  'docs/deploy/gpuledger.service',
  'docs/deploy/Dockerfile.agent',
  'docs/deploy/daemonset.yaml',
];
const MAIN = { 'gpuledger-agent': 'collector/cli/main.ts', gpuledger: 'api/cli/main.ts' } as const;
type Program = keyof typeof MAIN;

const helps = new Map<string, string>();
function help(program: Program, words: readonly string[]): string {
  const key = [program, ...words].join(' ');
  const known = helps.get(key);
  if (known !== undefined) return known;
  const args = [join(top, MAIN[program]), ...words, '--help'];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${key} --help ends with ${status}`);
  helps.set(key, stdout);
  return stdout;
}
/** Flags that a help text offers; its examples do not count. */
const flagsOf = (text: string): string[] =>
  [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z][a-z-]*)/gm)].map((match) => match[1] ?? '');
const commandsOf = (text: string): string[] =>
  [...(text.split('\nCommands:\n')[1] ?? '').matchAll(/^ {2}([a-z-]+)/gm)].map((match) => match[1] ?? '');

/** Calls of our programs in a text, by name or by path: the words from the sub-command on. */
function callsIn(text: string): { program: Program; words: string[] }[] {
  const lines = text.replace(/\\\n[#\s]*/g, ' ');
  const pattern =
    /(?:(?<![\w/-])(gpuledger(?:-agent)?)|(?:\/opt\/gpuledger\/)?(collector|api)\/bin\.js) +([a-z-]+(?: [^`"'\n|&;]*)?)/g;
  return [...lines.matchAll(pattern)].flatMap(([, name, folder, rest = '']) => {
    const program = name === 'gpuledger' || folder === 'api' ? 'gpuledger' : 'gpuledger-agent';
    // Behind a bare -- stands somebody else's command.
    const words = rest.split(' -- ')[0]?.trim().split(/\s+/) ?? [];
    // Prose, image tags and unit names also hold the word.
    return commandsOf(help(program, [])).includes(words[0] ?? '') ? [{ program, words }] : [];
  });
}

/** What is wrong with the calls in a text. */
function wrongCalls(text: string): string[] {
  return callsIn(text).flatMap(({ program, words }) => {
    if (!words.some((word) => word.startsWith('--'))) return [];
    const [first = '', second = ''] = words;
    const path = commandsOf(help(program, [first])).includes(second) ? [first, second] : [first];
    const offered = flagsOf(help(program, path));
    return words
      .filter((word) => word.startsWith('--'))
      .map((word) => word.replace(/=.*$/, ''))
      .filter((flag) => !offered.includes(flag))
      .map((flag) => `${program} ${path.join(' ')} has no ${flag}`);
  });
}

const variablesIn = (text: string): string[] => [
  ...new Set([...text.matchAll(/GPULEDGER_[A-Z_]+/g)].map((match) => match[0])),
];

describe('the recipes', () => {
  it.each(RECIPES)('%s calls our programs as they are', (path) => {
    expect(wrongCalls(read(path))).toEqual([]);
  });

  it.each(['README.md', 'docs/OPERATING.md', 'docs/INSPECT.md'])('%s calls them as they are, too', (path) => {
    expect(wrongCalls(read(path))).toEqual([]);
  });

  it('hold calls at all, and a wrong one would be seen', () => {
    const calls = RECIPES.flatMap((path) => callsIn(read(path)));
    const subcommands = new Set(calls.map(({ program, words }) => `${program} ${words[0]}`));
    expect([...subcommands].sort()).toEqual([
      'gpuledger serve',
      'gpuledger token',
      'gpuledger-agent doctor',
      'gpuledger-agent run',
    ]);
    expect(wrongCalls('ExecStart=/opt/gpuledger/collector/bin.js run --colour x')).toEqual([
      'gpuledger-agent run has no --colour',
    ]);
    expect(wrongCalls('# gpuledger token create --role agent \\\n#   --shape round')).toEqual([
      'gpuledger token create has no --shape',
    ]);
  });

  it.each(RECIPES)('%s names no variable that nobody reads', (path) => {
    const known = variablesIn(help('gpuledger-agent', ['run']) + help('gpuledger', ['serve']));
    expect(variablesIn(read(path)).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('has settings that the agent takes, commented ones too', () => {
    const text = read('docs/deploy/agent.conf');
    const all = text.replace(/^#(GPULEDGER_)/gm, '$1');
    expect(readConfig({ config: 'x' }, {}, () => text).api).toBe('https://ledger.example.org');
    expect(readConfig({ config: 'x' }, {}, () => all).agent.secretOptions).toHaveLength(2);
  });
});

/** systemd's own checker, where this machine has it. */
const CHECKER = ['systemd', 'analyze'].join('-');
const checks = spawnSync(CHECKER, ['--version'], { encoding: 'utf8' }).status === 0;
describe.skipIf(!checks)('the units', () => {
  it.each(['gpuledger-agent.service', 'gpuledger.service'])('%s pass systemd-analyze verify', (unit) => {
    const folder = temporaryFolder('unit');
    try {
      // Where the product is here, since verify looks for what it would start.
      const text = read(`docs/deploy/${unit}`)
        .replaceAll('/opt/gpuledger/node_modules/.bin/node', process.execPath)
        .replaceAll('/opt/gpuledger/', top);
      const verify = (name: string, content: string) => {
        writeFileSync(join(folder.path, name), content);
        const { status, stderr } = spawnSync(CHECKER, ['verify', join(folder.path, name)], {
          encoding: 'utf8',
        });
        // It also reads what else is installed on the machine, and tells of that.
        return { status, told: stderr.split('\n').filter((line) => line.includes(name)) };
      };
      expect(verify(unit, text)).toEqual({ status: 0, told: [] });
      expect(verify(`wrong-${unit}`, `${text}\n[Service]\nMemoryMaximum=1\n`).told).not.toEqual([]);
    } finally {
      folder.remove();
    }
  });
});

const Container = z.object({
  args: z.array(z.string()),
  env: z.array(z.object({ name: z.string(), value: z.string().optional() })),
  securityContext: z.object({ readOnlyRootFilesystem: z.literal(true) }),
  resources: z.object({ limits: z.object({ memory: z.string() }) }),
  volumeMounts: z.array(
    z.object({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() }),
  ),
});
const DaemonSet = z.object({
  kind: z.literal('DaemonSet'),
  spec: z.object({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.object({
      metadata: z.object({ labels: z.record(z.string(), z.string()) }),
      spec: z.object({
        hostPID: z.literal(true),
        automountServiceAccountToken: z.literal(false),
        containers: z.tuple([Container]),
        volumes: z.array(z.object({ name: z.string() })),
      }),
    }),
  }),
});
const ConfigMap = z.object({ kind: z.literal('ConfigMap'), data: z.record(z.string(), z.string()) });

it('the DaemonSet is what the agent needs: host pids, its own token, a spool, all else read-only', () => {
  const documents = parseAllDocuments(read('docs/deploy/daemonset.yaml'));
  expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
  const [, config, last] = documents.map((one): unknown => one.toJS());
  const { data } = ConfigMap.parse(config);
  const { selector, template } = DaemonSet.parse(last).spec;
  expect(template.metadata.labels).toMatchObject(selector.matchLabels);
  const { volumes, containers } = template.spec;
  const [container] = containers;
  expect(container.volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
  const writable = container.volumeMounts.filter((mount) => mount.readOnly !== true);
  const environment = { ...data };
  for (const { name, value } of container.env) environment[name] = value ?? 'gpu-n1';
  const settings = readConfig({}, environment);
  expect(writable.map(({ mountPath }) => mountPath)).toEqual([settings.agent.spoolFolder]);
  for (const path of [settings.tokenFile, settings.agent.passwdPath])
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toContain(path);
  expect(settings.agent.node).toBe('gpu-n1');
});

it('the image holds all that the agent loads, and starts it', () => {
  const text = read('docs/deploy/Dockerfile.agent');
  const copied = [...text.matchAll(/^COPY (.+) \S+$/gm)].flatMap((match) => (match[1] ?? '').split(' '));
  expect(copied.filter((path) => !existsSync(join(top, path)))).toEqual([]);
  const entry = /^ENTRYPOINT \["node", "\/opt\/gpuledger\/(.+)"\]$/m.exec(text)?.[1] ?? '';
  const folder = temporaryFolder('image');
  try {
    for (const path of copied) cpSync(join(top, path), join(folder.path, path), { recursive: true });
    symlinkSync(join(top, 'node_modules'), join(folder.path, 'node_modules'));
    const ended = spawnSync(
      process.execPath,
      [join(folder.path, entry), 'run', '--once', '--nvidia-smi', join(folder.path, 'none')],
      { encoding: 'utf8' },
    );
    expect(ended).toMatchObject({ status: 1, stderr: '' });
    expect(ended.stdout).toContain('tool_missing');
  } finally {
    folder.remove();
  }
});

describe('docs/AGENT.md', () => {
  const text = read('docs/AGENT.md');

  it('has every flag and variable, in a table that is the help’s, and none besides', () => {
    const run = help('gpuledger-agent', ['run']);
    const offered = new Set(flagsOf(run).filter((flag) => flag !== '--help'));
    const named = new Set([...text.matchAll(/`(--[a-z-]+)/g)].map((match) => match[1] ?? ''));
    // Two of nvidia-smi's own stand in the table of what is read.
    for (const foreign of ['--query-gpu', '--query-compute-apps']) named.delete(foreign);
    expect([...named].sort()).toEqual([...offered].sort());
    for (const [, flag = '', variable = ''] of text.matchAll(
      /^\| `(--[a-z-]+)` \| `(GPULEDGER_[A-Z_]+)`/gm,
    )) {
      // The help says both in one entry.
      const entry = run.slice(run.indexOf(`  ${flag} `)).split(/\n {2}(?=-)/)[0] ?? '';
      expect(entry.replace(/\s+/g, ' ')).toContain(variable);
    }
    expect(wrongCalls(text)).toEqual([]);
    const claims = ['GPULEDGER_JOB_ID'];
    const known = [...variablesIn(run), ...claims];
    expect(variablesIn(text).filter((name) => !known.includes(name))).toEqual([]);
    expect(variablesIn(run).filter((name) => !text.includes(name))).toEqual([]);
  });

  it('lists the doctor’s checks by the ids that it gives', () => {
    const table = text.slice(text.indexOf('## What the doctor checks'), text.indexOf('## One reading'));
    const listed = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
    const { stdout } = spawnSync(
      process.execPath,
      [join(top, MAIN['gpuledger-agent']), 'doctor', '--json', '--nvidia-smi', '/none'],
      { encoding: 'utf8' },
    );
    const Report = z.object({ checks: z.array(z.object({ id: z.string() })) });
    expect(Report.parse(JSON.parse(stdout)).checks.map(({ id }) => id)).toEqual(listed);
  });

  it('leads to files that are there', () => {
    const links = [...text.matchAll(/\]\((?!http|#)([^)#\s]+)/g)].map((match) => match[1] ?? '');
    expect(links.length).toBeGreaterThan(4);
    expect(links.filter((path) => !existsSync(join(top, 'docs', path)))).toEqual([]);
  });
});
