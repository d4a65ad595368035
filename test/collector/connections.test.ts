/** When a connection that lasts is told again. */
import { expect, test } from 'vitest';
import { ConnectionBook, type SeenSocket } from '../../collector/connections.ts';

const socket: SeenSocket = {
  process: '20/1',
  kind: 'established',
  peerClass: 'external',
  localPort: 40_000,
  peer: '198.51.100.7:22',
  inbound: false,
};
const MINUTE_MS = 60_000;
const START_MS = Date.UTC(2026, 0, 1, 10);

/** Minutes, out of 20 with a look every ten seconds, in which the socket was reported. */
function reportedMinutes(seen: SeenSocket): number {
  const book = new ConnectionBook(() => '0'.repeat(32));
  let reports = 0;
  for (let atMs = START_MS; atMs < START_MS + 20 * MINUTE_MS; atMs += 10_000)
    reports += book.update([seen], atMs, () => undefined).facts.length;
  return reports;
}

test('a connection to the outside is told each minute while it stands', () => {
  expect(reportedMinutes(socket)).toBe(20);
});

test('one within the site is told once an hour, and its end', () => {
  expect(reportedMinutes({ ...socket, peerClass: 'internal' })).toBe(1);
  const book = new ConnectionBook(() => '0'.repeat(32));
  const internal = { ...socket, peerClass: 'internal' } as const;
  book.update([internal], START_MS, () => undefined);
  book.update([internal], START_MS + MINUTE_MS, () => undefined);
  const [last] = book.update([], START_MS + 2 * MINUTE_MS, () => undefined).facts;
  expect(last).toMatchObject({ firstMs: START_MS, lastMs: START_MS + MINUTE_MS });
});
