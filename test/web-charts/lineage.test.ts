import { expect, test } from 'vitest';
import type { ProcessView } from '../../api/contract/findings.ts';
import { FINDING_REASONS as DOMAIN_REASONS } from '../../api/domain/wording.ts';
import { lineageRows } from '../../web/lineage.ts';
import { REASONS, reasonWords } from '../../web/words.ts';

function process(id: string, parentId: string | null, pid = Number(id)): ProcessView {
  return {
    id,
    bootId: 'boot',
    pid,
    startTicks: pid,
    startedAt: new Date(pid * 1000).toISOString(),
    exitedAt: null,
    parentId,
    user: null,
    uid: null,
    comm: 'x',
    executable: null,
    commandLine: null,
    commandLineCut: false,
    ...{ argumentsDigest: null, sessionId: null, ownNamespaces: null },
    cgroup: '',
    boundary: null,
    claims: [],
    unreadable: [],
    role: 'ancestor',
    activeMs: 0,
    residentMs: 0,
    devices: [],
  };
}

const outline = (processes: ProcessView[], collapsed: string[] = []) =>
  lineageRows(processes, new Set(collapsed)).map((row) => `${row.level}:${row.process.id}/${row.children}`);

const family = [
  process('7', '3'),
  process('3', '1'),
  process('9', '3'),
  process('1', '0'),
  process('4', '1'),
];

test('parents come before children, older before younger, whatever the order given', () => {
  const expected = ['1:1/2', '2:3/2', '3:7/0', '3:9/0', '2:4/0'];
  expect(outline(family)).toEqual(expected);
  expect(outline(family.toReversed())).toEqual(expected);
});

test('siblings know their places', () => {
  const rows = lineageRows(family);
  expect(rows.filter((row) => row.level === 3).map((row) => [row.position, row.siblings])).toEqual([
    [1, 2],
    [2, 2],
  ]);
});

test('what is below a folded process is left out, and its number of children stays', () => {
  expect(outline(family, ['3'])).toEqual(['1:1/2', '2:3/2', '2:4/0']);
  expect(outline(family, ['1'])).toEqual(['1:1/2']);
});

test('circles of parents are cut, and everybody is listed once', () => {
  const circle = [process('5', '6'), process('6', '5'), process('8', '8'), process('1', null)];
  const ids = lineageRows(circle).map((row) => row.process.id);
  expect(ids.toSorted()).toEqual(['1', '5', '6', '8']);
  expect(outline(circle)[0]).toBe('1:1/0');
});

test('every reason of the ledger has words, and an unknown one is shown, not hidden', () => {
  expect(REASONS.toSorted()).toEqual([...DOMAIN_REASONS].toSorted());
  for (const reason of DOMAIN_REASONS) expect(reasonWords(reason)).not.toContain('_');
  expect(reasonWords('brand_new')).toBe('brand new');
});
