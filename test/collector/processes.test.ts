import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import { clock, files } from '../../collector/ports/real.ts';
import type { Files } from '../../collector/ports.ts';
import { createProcessTable, type ProcessTable } from '../../collector/processes.ts';
import { BOOT_ID, BOOT_SECONDS, HOST_NAMESPACES, ProcFixture } from './proc-fixture.ts';

const T = 1_700_001_000_000;
/** After this the executable and the cgroup are read again. */
const LATER = T + 31_000;

let proc: ProcFixture;
let salts = 0;
const newTable = (port: Files = files): ProcessTable =>
  createProcessTable(
    { files: port, clock },
    {
      procRoot: proc.root,
      passwdPath: proc.passwd,
      newSalt: () => (salts++).toString(16).padStart(32, '0'),
    },
  );
const factOf = (table: ProcessTable, key: string) => table.liveFacts().facts.find((fact) => fact.key === key);

beforeEach(() => {
  proc = new ProcFixture();
  proc.put({ pid: 1, parent: 0, comm: 'init', uid: 0, exe: null });
  salts = 0;
});
afterEach(() => proc.destroy());

describe('the process table', () => {
  it('tells a GPU process with its ancestors, parents first', () => {
    proc.put({ pid: 10, comm: 'slurmstepd', uid: 0, cgroup: '0::/a\n' });
    proc.put({ pid: 20, parent: 10, comm: 'bash' });
    proc.put({ pid: 30, parent: 20, environ: 'SLURM_JOB_ID=7\0', cmdline: 'python\0--token\0secretive\0' });
    const table = newTable();
    expect(table.observe([30, 30], T)).toEqual(new Map([[30, '30/300']]));
    const { facts, personal } = table.changedFacts();
    expect(facts.map((fact) => [fact.key, fact.parent])).toEqual([
      ['1/10', null],
      ['10/100', '1/10'],
      ['20/200', '10/100'],
      ['30/300', '20/200'],
    ]);
    expect(facts[3]).toMatchObject({
      startedMs: BOOT_SECONDS * 1000 + 3000,
      uid: 2001,
      loginUid: null,
      sessionId: 30,
      namespaces: HOST_NAMESPACES,
      comm: 'python',
      cgroup: '0::/',
      claims: [{ name: 'SLURM_JOB_ID', value: '7' }],
      argumentsDigest: sha256Hex('python --token [redacted]'),
      unreadable: [],
      firstSeenMs: T,
      exitedMs: null,
    });
    const own = personal.find((record) => record.digest === facts[3]?.personal);
    expect(own?.value).toEqual({
      kind: 'process',
      user: 'alice',
      commandLine: 'python --token [redacted]',
      commandLineCut: false,
    });
    expect(own?.digest).toBe(sha256Hex(canonicalJson({ salt: own?.salt, value: own?.value })));
    expect(table.bootId()).toBe(BOOT_ID);
    expect(table.changedFacts()).toEqual({ facts: [], personal: [] });
  });

  it('takes a reused pid for another process', () => {
    proc.put({ pid: 30, startTicks: 300 });
    const table = newTable();
    table.observe([30], T);
    table.changedFacts();
    proc.put({ pid: 30, startTicks: 999 });
    expect(table.observe([30], T + 5000).get(30)).toBe('30/999');
    expect(table.changedFacts().facts.map((fact) => [fact.key, fact.exitedMs])).toEqual([
      ['30/300', T + 5000],
      ['30/999', null],
    ]);
  });

  it('remembers what a process ran before an exec, and claims of both', () => {
    writeFileSync(join(proc.root, 'shell'), '');
    writeFileSync(join(proc.root, 'miner'), '');
    proc.put({ pid: 30, comm: 'shell', exe: join(proc.root, 'shell'), environ: 'SLURM_JOB_ID=7\0' });
    const table = newTable();
    table.observe([30], T);
    const before = factOf(table, '30/300');
    proc.put({
      pid: 30,
      comm: 'miner',
      exe: join(proc.root, 'miner'),
      environ: 'SLURM_JOB_ID=8\0',
      cmdline: './miner\0',
    });
    table.observe([30], T + 5000);
    const { facts, personal } = table.changedFacts();
    expect(facts).toHaveLength(1);
    expect(facts[0]?.earlierExecutables).toEqual([before?.executable]);
    expect(facts[0]?.executable).toMatchObject({
      path: join(proc.root, 'miner'),
      deleted: false,
      fileSystem: 'ext4',
    });
    expect(facts[0]?.executable?.inode).not.toBe(before?.executable?.inode);
    expect(facts[0]?.claims.map((claim) => claim.value)).toEqual(['7', '8']);
    expect(personal[0]?.value).toMatchObject({ commandLine: './miner' });
  });

  it('tells the account that a process has become without an exec', () => {
    proc.put({ pid: 30, uid: 0 });
    const table = newTable();
    table.observe([30], T);
    expect(table.changedFacts().facts.map(({ uid }) => uid)).toEqual([0, 0]);
    proc.put({ pid: 30, uid: 2001 });
    table.observe([30], T + 60_000);
    const { facts, personal } = table.changedFacts();
    expect(facts.map(({ uid }) => uid)).toEqual([2001]);
    expect(personal[0]?.value).toMatchObject({ user: 'alice' });
  });

  it('keeps earlier cgroups, at most eight, the first of them for good', () => {
    proc.put({ pid: 30, cgroup: '0::/job_7\n' });
    const table = newTable();
    for (let step = 0; step < 20; step += 1) {
      table.observe([30], T + step * 31_000);
      proc.write('30/cgroup', `0::/hideout_${step}\n`);
    }
    const fact = factOf(table, '30/300');
    expect(fact?.cgroup).toBe('0::/hideout_18');
    expect(fact?.earlierCgroups).toHaveLength(8);
    expect(fact?.earlierCgroups[0]).toBe('0::/job_7');
    expect(fact?.earlierCgroups.at(-1)).toBe('0::/hideout_17');
  });

  it('keeps the first and the latest of earlier executables when their paths are very long', () => {
    const pathOf = (step: number): string => `/${step}/${'x'.repeat(3000)}`;
    proc.put({ pid: 30, exe: pathOf(0) });
    const table = newTable();
    for (let step = 1; step < 8; step += 1) {
      table.observe([30], T + step * 31_000);
      proc.put({ pid: 30, exe: pathOf(step) });
    }
    table.observe([30], T + 8 * 31_000);
    const { executable, earlierExecutables } = factOf(table, '30/300') ?? {};
    expect(executable?.path).toBe(pathOf(7));
    expect(earlierExecutables?.map(({ path }) => path)).toEqual([pathOf(0), pathOf(6)]);
  });

  it('keeps the first parent of an orphan, and the parent as long as somebody descends from it', () => {
    proc.put({ pid: 20, comm: 'bash' });
    proc.put({ pid: 30, parent: 20 });
    const table = newTable();
    table.observe([30], T);
    proc.remove(20);
    proc.put({ pid: 30, parent: 1 });
    table.observe([30], LATER);
    table.changedFacts();
    table.observe([30], T + 24 * 3_600_000);
    const { facts } = table.liveFacts();
    expect(facts.find((fact) => fact.key === '30/300')?.parent).toBe('20/200');
    expect(facts.find((fact) => fact.key === '20/200')?.exitedMs).toBe(LATER);
  });

  it('reports an exit once, repeats it for a while, then forgets', () => {
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([30], T);
    table.changedFacts();
    proc.remove(30);
    expect(table.observe([], T + 5000)).toEqual(new Map());
    expect(table.changedFacts().facts).toMatchObject([{ key: '30/300', exitedMs: T + 5000 }]);
    expect(table.changedFacts().facts).toEqual([]);
    expect(factOf(table, '30/300')?.exitedMs).toBe(T + 5000);
    table.observe([], T + 3_600_000);
    expect(table.liveFacts().facts.map((fact) => fact.key)).toEqual(['1/10']);
  });

  it('forgets members of a crowd before who was on a device, and says that it forgets', () => {
    proc.put({ pid: 30 });
    const absent = (): never => {
      throw Object.assign(new Error('not there'), { code: 'ENOENT' });
    };
    const inCrowd = (path: string): string | undefined => /\/([1-9]\d{3})\//.exec(path)?.[1];
    const crowd: Files = {
      ...files,
      readLink: (path) => (inCrowd(path) === undefined ? files.readLink(path) : absent()),
      read(path, maxBytes) {
        const pid = inCrowd(path);
        if (pid === undefined) return files.read(path, maxBytes);
        if (!path.endsWith('/stat')) return absent();
        const stat = `${pid} (x) S 1 1 1 0 -1 0 ${'0 '.repeat(12)}${pid} 0\n`;
        return { bytes: Buffer.from(stat), cut: false };
      },
    };
    const table = newTable(crowd);
    table.observe([30], T);
    for (let pid = 1000; pid < 5200; pid += 1) table.known.adopt(pid, T);
    table.observe([], LATER);
    const keys = table.liveFacts().facts.map(({ key }) => key);
    expect(keys).toHaveLength(4096);
    expect(keys).toContain('30/300');
    expect(table.takeProblems().map(({ message }) => message)).toEqual([
      'processes forgotten: more than 4096 at once',
    ]);
  });

  it('gives a process that /proc hides a key that stays as long as it is named', () => {
    const table = newTable();
    const key = `77/?${T}`;
    expect(table.observe([77], T).get(77)).toBe(key);
    expect(table.observe([77], LATER).get(77)).toBe(key);
    expect(table.changedFacts().facts).toMatchObject([
      { key, personal: null, startTicks: null, unreadable: ['process: not in /proc'] },
    ]);
    table.observe([], LATER + 5000);
    expect(table.changedFacts().facts).toMatchObject([{ key, exitedMs: LATER + 5000 }]);
    expect(table.observe([77], LATER + 9000).get(77)).toBe(`77/?${LATER + 9000}`);
  });

  it('does not take a process that ends during the poll for a hidden one', () => {
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([30], T);
    proc.remove(30);
    expect(table.observe([30], T + 5000).get(30)).toBe('30/300');
    expect(table.observe([30], T + 10_000).get(30)).toBe(`30/?${T + 10_000}`);
  });

  it('keeps a digest while nothing changes, and reports changing titles sparingly', () => {
    proc.put({ pid: 30, comm: 'ray::IDLE', cmdline: 'ray::IDLE' });
    const table = newTable();
    table.observe([30], T);
    const first = table.changedFacts();
    table.observe([30], LATER);
    expect(table.changedFacts().facts).toEqual([]);
    expect(factOf(table, '30/300')?.personal).toBe(first.facts.at(-1)?.personal);
    let reports = 0;
    for (let poll = 1; poll <= 60; poll += 1) {
      const title = `ray::Actor.m${poll}`;
      proc.put({ pid: 30, comm: title, cmdline: title });
      table.observe([30], LATER + poll * 5000);
      reports += table.changedFacts().facts.length;
    }
    expect(reports).toBe(1);
  });

  it('leaves kernel threads without parent and executable, and zombies with what they had', () => {
    proc.put({ pid: 2, parent: 0, comm: 'kthreadd', flags: 0x200000, exe: null, cmdline: '', uid: 0 });
    proc.put({ pid: 5, parent: 2, comm: 'kworker', flags: 0x4208060, exe: null, cmdline: '', uid: 0 });
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([5, 30], T);
    expect(factOf(table, '5/50')).toMatchObject({ parent: null, executable: null, unreadable: [] });
    const before = factOf(table, '30/300');
    proc.put({ pid: 30, state: 'Z', exe: null, cgroup: '0::/\n', cmdline: '' });
    table.observe([30], LATER);
    expect(factOf(table, '30/300')).toEqual(before);
  });

  it('takes a parent that is younger than its child for a reused pid', () => {
    proc.put({ pid: 40, startTicks: 900 });
    proc.put({ pid: 30, parent: 40, startTicks: 300 });
    const table = newTable();
    table.observe([30], T);
    expect(factOf(table, '30/300')?.parent).toBeNull();
  });

  it('ends a lineage that has no end', () => {
    for (let pid = 100; pid < 200; pid += 1) proc.put({ pid, parent: pid - 1 });
    const table = newTable();
    table.observe([199], T);
    expect(table.changedFacts().facts).toHaveLength(65);
    expect(table.takeProblems().map((problem) => problem.message)).toEqual([
      'lineages deeper than 64 are cut, such as that of pid 135',
    ]);
  });

  it('says what could not be read', () => {
    proc.put({ pid: 30, exe: null, cmdline: 'x\0' });
    files.remove(join(proc.root, '30/environ'));
    const table = newTable();
    table.observe([30], T);
    expect(factOf(table, '30/300')?.unreadable).toEqual(['executable: not there', 'environ: not there']);
  });
});

describe('what survives a restart', () => {
  it('keeps first parents, earlier evidence and digests', () => {
    proc.put({ pid: 20, comm: 'bash' });
    proc.put({ pid: 30, parent: 20, cgroup: '0::/job_7\n' });
    const table = newTable();
    table.observe([30], T);
    proc.put({ pid: 30, parent: 1, cgroup: '0::/elsewhere\n' });
    proc.remove(20);
    table.observe([30], LATER);
    const before = table.liveFacts();
    const next = newTable();
    next.importState(JSON.parse(JSON.stringify(table.exportState())));
    next.observe([30], LATER + 5000);
    expect(next.changedFacts()).toEqual(before);
    expect(next.takeProblems()).toEqual([]);
  });

  it('drops what another boot saved', () => {
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([30], T);
    const next = newTable();
    next.importState({ ...table.exportState(), bootId: '99999999-2222-3333-4444-555555555555' });
    expect(next.liveFacts().facts).toEqual([]);
    expect(next.takeProblems()).toEqual([]);
  });

  it('finds a process gone that ended while the agent was away', () => {
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([30], T);
    const next = newTable();
    next.importState(table.exportState());
    proc.remove(30);
    next.observe([], LATER);
    expect(factOf(next, '30/300')?.exitedMs).toBe(LATER);
  });

  it('refuses a damaged state as a whole and goes on', () => {
    proc.put({ pid: 30 });
    const table = newTable();
    table.observe([30], T);
    const good = JSON.stringify(table.exportState());
    const damaged = fc
      .tuple(fc.nat(good.length - 1), fc.constantFrom('0', '"', '}', 'null'))
      .map(([at, put]) => good.slice(0, at) + put + good.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(damaged, fc.json()), (text) => {
        const next = newTable();
        let state: unknown = text;
        try {
          state = JSON.parse(text);
        } catch {
          // A text is a state that is not understood, too.
        }
        next.importState(state);
        expect(next.observe([30], LATER).get(30)).toBe('30/300');
      }),
      { numRuns: 60 },
    );
    const next = newTable();
    next.importState(
      JSON.parse(
        good.replace('"python"', '"perl"').replace('"commandLine":"python"', '"commandLine":"perl"'),
      ),
    );
    expect(next.takeProblems()).toHaveLength(1);
    expect(next.liveFacts().facts).toEqual([]);
  });
});
