import { describe, expect, test } from 'vitest';
import { MappingIn } from '../../api/contract/mapping.ts';
import { bookingOf, chargesOf, type Declared, type Mapping, mappingAt } from '../../api/domain/mapping.ts';

const rulesOf = (rules: unknown[]) => MappingIn.parse({ rules }).rules;
const job: Declared = {
  ...{ account: 'unset', user: 'alice', source: 'slurm', sourceInstance: 'west' },
  attributes: { partition: 'gpu-long', namespace: 'nlp', qos: 'high', 'label:team': 'speech' },
};
const booked = (rules: unknown[], declared = job) => bookingOf(rulesOf(rules), declared);
const matched = (match: unknown, declared = job): boolean =>
  booked([{ match, account: 'yes' }], declared).account === 'yes';

describe('to whom a job is charged', () => {
  test('the first rule that matches decides, alone; what it leaves out stays', () => {
    const rules = [
      { match: { users: ['bob'] }, account: 'b' },
      { match: { users: ['alice'] }, project: 'p' },
      { account: 'rest', costCentre: '1' },
    ];
    expect(booked(rules)).toEqual({ account: 'unset', project: 'p', costCentre: null });
    expect(booked(rules, { ...job, user: 'carol' })).toEqual({
      ...{ account: 'rest', project: null, costCentre: '1' },
    });
    expect(booked([])).toEqual({ account: 'unset', project: null, costCentre: null });
  });

  test.each([
    [{ users: ['bob', 'al*'] }, true],
    [{ users: ['alic'] }, false],
    [{ accounts: ['unset'], users: ['bob'] }, false],
    [{ accounts: ['un*t'] }, true],
    [{ sources: ['slurm'] }, true],
    [{ sources: ['slurm/west'] }, true],
    [{ sources: ['slurm/east'] }, false],
    [{ partitions: ['gpu-*'] }, true],
    [{ partitions: ['cpu'] }, false],
    [{ namespaces: ['nlp'] }, true],
    [{ namespaces: ['*lp*s'] }, false],
    [{ labels: { team: ['speech'] } }, true],
    [{ labels: { team: ['*'], other: ['*'] } }, false],
    [{ attributes: { qos: ['high'] } }, true],
    [{ attributes: { toString: ['*'] } }, false],
    [{ attributes: { constructor: ['*'] } }, false],
  ])('%j: %s', (match, expected) => {
    expect(matched(match)).toBe(expected);
  });

  test('a job without an OS account is nobody in particular', () => {
    const nobody = { ...job, user: null };
    expect([matched({ users: ['*'] }, nobody), matched({}, nobody)]).toEqual([false, true]);
  });
});

test('of the versions that have begun the last one counts, and of these the newest', () => {
  const version = (number: number, fromMs: number): Mapping => ({ version: number, fromMs, rules: [] });
  const all = [version(1, 100), version(2, 50), version(3, 100), version(4, 200)];
  const at = (ms: number) => mappingAt(all, ms)?.version ?? null;
  expect([at(49), at(50), at(100), at(199), at(200)]).toEqual([null, 2, 3, 3, 4]);
  expect(mappingAt([...all].reverse(), 150)?.version).toBe(3);
});

describe('to whom the time of a job is charged', () => {
  const version = (number: number, fromMs: number, rules: unknown[]): Mapping => ({
    ...{ version: number, fromMs, rules: rulesOf(rules) },
  });
  const lab = { match: { users: ['alice'] }, account: 'lab', costCentre: '1' };
  const charges = (mappings: Mapping[], fromMs = 10, toMs = 1000) =>
    chargesOf(mappings, job, { fromMs, toMs }).map((one) => [
      ...[one.fromMs, one.toMs, one.booking.account, one.mapped],
    ]);

  test('without a rule that matches it is the declared account, and not mapped', () => {
    expect(charges([])).toEqual([[10, 1000, 'unset', false]]);
    expect(charges([version(1, 0, [{ match: { users: ['bob'] }, account: 'b' }])])).toEqual([
      [10, 1000, 'unset', false],
    ]);
  });

  test('the rules of each day count; what stays the same is one stretch', () => {
    const all = [
      version(1, 0, [lab]),
      version(2, 300, []),
      version(3, 300, [lab]),
      version(4, 500, [{ match: {}, account: 'unset' }]),
      version(5, 1000, [lab]),
    ];
    expect(charges(all)).toEqual([
      [10, 500, 'lab', true],
      [500, 1000, 'unset', true],
    ]);
    expect(charges([version(1, 500, [lab])])).toEqual([
      [10, 500, 'unset', false],
      [500, 1000, 'lab', true],
    ]);
  });

  test('another project or cost centre is another stretch; a job of no length has one', () => {
    const other = [version(1, 0, [lab]), version(2, 500, [{ ...lab, costCentre: '2' }])];
    expect(charges(other)).toHaveLength(2);
    expect(charges([version(1, 0, [lab]), version(2, 500, [{ ...lab, project: 'p' }])])).toHaveLength(2);
    expect(charges(other, 500, 500)).toEqual([[500, 500, 'lab', true]]);
  });

  test('mapped to the account that is declared is mapped all the same', () => {
    const same = { match: {}, account: 'unset' };
    expect(charges([version(1, 500, [same])])).toEqual([
      [10, 500, 'unset', false],
      [500, 1000, 'unset', true],
    ]);
  });
});
