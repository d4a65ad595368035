// Which findings are one story: two traits that agree, or a file that is nobody else's; never a weak one alone.
import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { likenessOf, regularHours, type SeriesTraits, seriesOf, wayOf } from '../../api/domain/series.ts';

const HOUR_MS = 3_600_000;
const traits = (
  finding: string,
  change: Partial<SeriesTraits> & { path?: string; inode?: string } = {},
): SeriesTraits => {
  const { path = `/scratch/${finding}`, inode = `i${finding}`, ...rest } = change;
  return {
    ...{ finding, node: 'n1', uid: null, comm: 'x', argumentsDigest: null, commandLine: null, ancestors: [] },
    executable: { path, device: '8:1', inode },
    ...rest,
  };
};
const likeness = (a: Parameters<typeof traits>[1], b: Parameters<typeof traits>[1]) =>
  likenessOf(traits('a', a), traits('b', b), DEFAULT_POLICY);

const PYTHON = { path: '/opt/conda/bin/python3.11', inode: '7' };

describe("a file that is nobody else's is enough alone", () => {
  test.each([
    ['on one node, whatever its name', { inode: '7' }, { inode: '7' }, true],
    [
      'on two, by the same path',
      { inode: '7', path: '/s/x' },
      { inode: '7', path: '/s/x (deleted)', node: 'n2' },
      true,
    ],
    ['on two by another path: another file', { inode: '7' }, { inode: '7', node: 'n2' }, false],
    [
      'installed for everybody',
      { inode: '7', path: '/usr/bin/ffmpeg' },
      { inode: '7', path: '/usr/bin/ffmpeg' },
      false,
    ],
    ['an interpreter', PYTHON, PYTHON, false],
    ['unknown inodes', { executable: { path: '/s/x', device: null, inode: null } }, {}, false],
    ['unknown files', { executable: null }, { executable: null }, false],
  ])('%s', (_, a, b, wanted) => {
    expect(likeness(a, b).enough).toBe(wanted);
  });
});

describe('two traits are enough', () => {
  const alice = { uid: 2001 };
  const command = { argumentsDigest: 'd', commandLine: 'python3 run.py' };
  const way = { ancestors: ['keeper'] };
  test.each([
    ['python and an account', { ...PYTHON, ...alice }, { ...PYTHON, ...alice }, []],
    ['root', { ...way, uid: 0 }, { ...way, uid: 0 }, []],
    ['an account and a shell', { ...alice, ancestors: ['bash'] }, { ...alice, ancestors: ['bash'] }, []],
    ['a name', { path: '/a/tool' }, { path: '/b/tool', node: 'n2' }, []],
    [
      "a bare interpreter's arguments",
      { ...PYTHON, ...alice, argumentsDigest: 'd', commandLine: 'python3' },
      { ...PYTHON, ...alice, argumentsDigest: 'd', commandLine: 'python3' },
      [],
    ],
    [
      'other arguments',
      { ...PYTHON, ...alice, ...command },
      { ...PYTHON, ...alice, ...command, argumentsDigest: 'e' },
      [],
    ],
    ['ways of other length', { ...alice, ...way }, { ...alice, ancestors: ['keeper', 'bash'] }, []],
    [
      'a command and an account',
      { ...PYTHON, ...alice, ...command },
      { ...PYTHON, ...alice, ...command, node: 'n2' },
      ['command', 'account'],
    ],
    [
      'one whose text is erased',
      { ...PYTHON, ...alice, ...command, commandLine: null },
      { ...PYTHON, ...alice, ...command },
      ['command', 'account'],
    ],
    [
      'a name and an account',
      { ...alice, path: '/a/tool' },
      { ...alice, path: '/b/tool' },
      ['name', 'account'],
    ],
    ['an account and a way of its own', { ...alice, ...way }, { ...alice, ...way }, ['account', 'way']],
    [
      'an account and a long way',
      { ...alice, ancestors: ['bash', 'python3', 'sh'] },
      { ...alice, ancestors: ['bash', 'python3', 'sh'] },
      ['account', 'way'],
    ],
    ['a name and a way', { path: '/a/tool', ...way }, { path: '/b/tool', ...way }, ['name', 'way']],
  ])('%s', (_, a, b, wanted) => {
    const { enough, why } = likeness(a, b);
    expect(enough).toBe(wanted.length > 0);
    if (enough) expect(why.map((text) => wanted.find((word) => text.includes(word)))).toEqual(wanted);
  });
});

test('a series goes on from member to member, and no further than it may', () => {
  const first = traits('a', { uid: 1, path: '/s/a', inode: '7' });
  const second = traits('b', { uid: 2, path: '/t/b', inode: '7', ancestors: ['keeper'] });
  const third = traits('c', { uid: 2, node: 'n2', ancestors: ['keeper'] });
  const other = traits('d', { uid: 2 });
  const all = [other, third, second, first];
  const members = seriesOf(first, all, DEFAULT_POLICY, 10);
  expect(members.map(({ finding }) => finding)).toEqual(['a', 'b', 'c']);
  expect(members[0]?.why).toEqual([]);
  expect(members[1]?.why).toEqual(['the same file (a, inode 7)']);
  expect(new Set(seriesOf(third, all, DEFAULT_POLICY, 10).map(({ finding }) => finding))).toEqual(
    new Set(['a', 'b', 'c']),
  );
  expect(seriesOf(first, all, DEFAULT_POLICY, 2).map(({ finding }) => finding)).toEqual(['a', 'b']);
});

test('a way ends where sessions are hosted', () => {
  expect(wayOf(['bash', 'sshd', 'systemd'])).toEqual(['bash']);
  expect(wayOf(['bash', 'keeper'])).toEqual(['bash', 'keeper']);
});

describe('regular hours', () => {
  const at = (day: number, hour: number) => (day * 24 + hour) * HOUR_MS;
  test('nights on three days, across midnight', () => {
    const nights = [1, 2, 3].flatMap((day) => [at(day, 22), at(day, 23), at(day + 1, 0), at(day + 1, 5)]);
    expect(regularHours(nights)).toEqual({ from: 22, to: 6, days: 3 });
  });
  test('one hour each day', () => {
    expect(regularHours([at(1, 3), at(2, 3), at(4, 3)])).toEqual({ from: 3, to: 4, days: 3 });
  });
  test.each([
    ['never', []],
    ['two days', [at(1, 3), at(2, 3)]],
    ['all day', [1, 2, 3].flatMap((day) => [at(day, 1), at(day, 9), at(day, 17)])],
  ])('%s: none', (_, hours) => {
    expect(regularHours(hours)).toBeNull();
  });
});
