// Socket tables, counters and the settings file: what was written is read, nothing else is, and damage stays in its line.
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { parseSettingsFile } from '../../collector/settings-file.ts';
import {
  createPeerClassifier,
  parseDialCounters,
  parseEndpoint,
  parseSocketTable,
} from '../../collector/sources/sockets.ts';
import { hostileLine } from './hostile.ts';

const RUNS = { numRuns: 300 };
const TITLE =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

/** As the kernel prints an address: words of 32 bits on a little-endian machine. */
function hexOf(address: string, port: number): string {
  const raw = ipaddr.parse(address).toByteArray();
  let text = '';
  for (let word = 0; word < raw.length; word += 4)
    text += Buffer.from(raw.slice(word, word + 4).reverse()).toString('hex');
  return `${text}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

const endpoint = fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65_535));
const KINDS = { '01': 'established', '02': 'attempt', '0A': 'listening' } as const;
const socket = fc.record({
  local: endpoint,
  peer: endpoint,
  state: fc.constantFrom('01', '02', '0A', '06', '08'),
  inode: fc.nat(),
  uid: fc.nat(65_535),
});
const rowOf = (one: typeof socket extends fc.Arbitrary<infer T> ? T : never, at: number): string =>
  [
    `${String(at).padStart(4)}: ${hexOf(...one.local)} ${hexOf(...one.peer)} ${one.state} 00000000:00000000`,
    `00:00000000 00000000 ${String(one.uid).padStart(5)}        0 ${one.inode} 1 0000000000000000 20 4 30 10 -1`,
  ].join(' ');

describe('sockets', () => {
  it('are those of their states with an owner, at their addresses; other lines are passed over', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(socket, hostileLine), { maxLength: 12 }), (entries) => {
        const lines = entries.map((one, at) => (typeof one === 'string' ? one : rowOf(one, at)));
        const rows = parseSocketTable(Buffer.from(`${[TITLE, ...lines].join('\n')}\n`));
        const expected = entries.flatMap((one) => {
          const kind =
            typeof one === 'string'
              ? undefined
              : Object.entries(KINDS).find(([state]) => state === one.state);
          if (typeof one === 'string' || kind === undefined || one.inode === 0) return [];
          return [
            { kind: kind[1], inode: String(one.inode), local: hexOf(...one.local), peer: hexOf(...one.peer) },
          ];
        });
        expect(rows).toEqual(expected);
      }),
      RUNS,
    );
  });

  it('addresses come back, an IPv4 one inside IPv6 as itself', () => {
    fc.assert(
      fc.property(endpoint, fc.ipV4(), ([address, port], four) => {
        expect(parseEndpoint(hexOf(address, port))).toEqual({
          address: ipaddr.process(address).toString(),
          port,
        });
        expect(parseEndpoint(hexOf(`::ffff:${four}`, port))).toEqual({ address: four, port });
        expect(parseEndpoint(hexOf(address, port).slice(0, -1))).toBeNull();
      }),
      RUNS,
    );
  });

  it('a peer is in the same class in either spelling, and a wider range never makes it external', () => {
    const narrow = createPeerClassifier([]);
    const wide = createPeerClassifier(['0.0.0.0/0', '::/0']);
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), (four, six) => {
        expect(narrow(`::ffff:${four}`)).toBe(narrow(four));
        for (const address of [four, six]) {
          expect(wide(address)).not.toBe('external');
          if (narrow(address) !== 'external') expect(wide(address)).toBe(narrow(address));
        }
      }),
      RUNS,
    );
  });

  it('counters are found by their names, in any order, or not at all', () => {
    const names = ['RtoAlgorithm', 'ActiveOpens', 'PassiveOpens', 'AttemptFails', 'CurrEstab'];
    fc.assert(
      fc.property(
        fc.shuffledSubarray(names),
        fc.array(fc.nat(), { minLength: 5, maxLength: 5 }),
        (some, values) => {
          const value = (name: string): number | undefined =>
            some.includes(name) ? values[names.indexOf(name)] : undefined;
          const text = `Ip: Forwarding\nIp: 1\nTcp: ${some.join(' ')}\nTcp: ${some.map((name) => value(name)).join(' ')}\nUdp: A\nUdp: 9\n`;
          const attempts = value('ActiveOpens');
          const failed = value('AttemptFails');
          expect(parseDialCounters(Buffer.from(text))).toEqual(
            attempts === undefined || failed === undefined ? null : { attempts, failed },
          );
        },
      ),
      RUNS,
    );
  });
});

describe('the settings file', () => {
  const known = new Set(['A', 'B', 'C', 'D']);
  const value = fc.string({ maxLength: 20 }).filter((text) => !/["']/.test(text) && text.trim() === text);
  const settings = fc.dictionary(fc.constantFrom(...known), value, { noNullPrototype: true });

  it('gives back what was written, quoted or not, exported or not', () => {
    fc.assert(
      fc.property(
        settings,
        fc.constantFrom('', '"', "'"),
        fc.constantFrom('', 'export '),
        fc.boolean(),
        (model, quote, prefix, windows) => {
          const lines = Object.entries(model).map(([key, text]) => `${prefix}${key}=${quote}${text}${quote}`);
          const file = parseSettingsFile(
            ['# title', '', ...lines].join(windows ? '\r\n' : '\n'),
            known,
            new Map(),
          );
          expect(Object.fromEntries(file.values)).toEqual(model);
          expect(file.problems).toEqual([]);
        },
      ),
      RUNS,
    );
  });

  it('a line that cannot be used has one problem with its number, and changes nothing', () => {
    const bad = fc.constantFrom('E=1', 'just words', '=x', 'TOKEN=secret', '1A=2', 'A B=3');
    fc.assert(
      fc.property(settings, bad, fc.nat(4), (model, line, at) => {
        const lines = Object.entries(model).map(([key, text]) => `${key}=${text}`);
        const place = Math.min(at, lines.length);
        lines.splice(place, 0, line);
        const file = parseSettingsFile(
          lines.join('\n'),
          known,
          new Map([['TOKEN', 'has a file of its own']]),
        );
        expect(Object.fromEntries(file.values)).toEqual(model);
        expect(file.problems).toHaveLength(1);
        expect(file.problems[0]).toMatch(new RegExp(`^line ${place + 1}: `));
        expect(file.problems[0]).not.toContain('secret');
      }),
      RUNS,
    );
  });
});
