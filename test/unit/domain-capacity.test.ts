import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { capacityOfDevice, type FleetStatement, type Sighting } from '../../api/domain/capacity.ts';

const seen = (node: string, atMs: number): Sighting<string> => ({ node, atMs });
const list = (node: string, fromMs: number, toMs: number | null = null): FleetStatement<string> => ({
  node,
  fromMs,
  toMs,
});
const texts = (statements: FleetStatement<string>[], sightings: Sighting<string>[]) =>
  capacityOfDevice(statements, sightings).map(({ node, fromMs, toMs }) =>
    `${node} ${fromMs}-${toMs ?? ''}`.trim(),
  );

describe('the capacity of a device', () => {
  const cases: [string, FleetStatement<string>[], Sighting<string>[], string[]][] = [
    ['opens at its first inventory', [], [seen('a', 20), seen('a', 10)], ['a 10-']],
    ['moves with it', [], [seen('a', 10), seen('b', 20), seen('b', 30)], ['a 10-20', 'b 20-']],
    [
      'moves there and back',
      [],
      [seen('a', 10), seen('b', 20), seen('a', 30)],
      ['a 10-20', 'b 20-30', 'a 30-'],
    ],
    ['opens at the date of a list', [list('a', 5)], [seen('a', 10)], ['a 5-']],
    ['opens at that date also where it was seen before', [list('a', 15)], [seen('a', 10)], ['a 15-']],
    ['is on another node by a list', [list('b', 15)], [seen('a', 10)], ['a 10-15', 'b 15-']],
    ['is where it is seen, whatever a list says', [list('a', 5)], [seen('b', 10)], ['a 5-10', 'b 10-']],
    ['ends when it is retired', [list('a', 5, 20)], [seen('a', 10)], ['a 5-20']],
    [
      'opens again when it is seen after that',
      [list('a', 5, 20)],
      [seen('a', 25), seen('a', 30)],
      ['a 5-20', 'a 25-'],
    ],
    [
      'is not ended by the list of a node that it left',
      [list('a', 5, 20)],
      [seen('b', 10)],
      ['a 5-10', 'b 10-'],
    ],
    ['begins later by a corrected list', [list('a', 5), list('a', 8)], [], ['a 8-']],
    ['begins earlier by a corrected list', [list('a', 8), list('a', 5)], [], ['a 5-']],
    ['is retired and brought back', [list('a', 5, 20), list('a', 5)], [], ['a 5-']],
    ['comes back later', [list('a', 5, 20), list('a', 30)], [], ['a 5-20', 'a 30-']],
    ['moves by lists', [list('a', 5), list('b', 10), list('a', 15)], [], ['a 5-10', 'b 10-15', 'a 15-']],
    ['is none where it was retired at once', [list('a', 5, 5)], [seen('a', 1)], ['a 1-5']],
    ['is none without facts', [], [], []],
  ];
  test.each(cases)('%s', (_what, statements, sightings, expected) => {
    expect(texts(statements, sightings)).toEqual(expected);
  });

  test('is ascending and disjoint, and the order of sightings does not matter', () => {
    const moment = fc.integer({ min: 0, max: 30 });
    const node = fc.constantFrom('a', 'b', 'c');
    const statement = fc
      .record({ node, fromMs: moment, ms: fc.option(fc.integer({ min: 0, max: 20 })) })
      .map(({ ms, ...rest }) => ({ ...rest, toMs: ms === null ? null : rest.fromMs + ms }));
    // One node at a time: two that show one device at the same moment contradict each other.
    const sightings = fc.uniqueArray(fc.record({ node, atMs: moment }), { selector: (one) => one.atMs });
    fc.assert(
      fc.property(
        fc.array(statement, { maxLength: 4 }),
        sightings,
        fc.infiniteStream(fc.nat()),
        (said, some, order) => {
          const stretches = capacityOfDevice(said, some);
          for (const [index, stretch] of stretches.entries()) {
            const next = stretches[index + 1];
            if (stretch.toMs !== null) expect(stretch.toMs).toBeGreaterThan(stretch.fromMs);
            if (next !== undefined) expect(next.fromMs).toBeGreaterThanOrEqual(stretch.toMs ?? Infinity);
          }
          const keyed = some.map((one) => ({ one, key: order.next().value }));
          const shuffled = keyed.sort((x, y) => x.key - y.key).map(({ one }) => one);
          expect(capacityOfDevice(said, shuffled)).toEqual(stretches);
        },
      ),
    );
  });
});
