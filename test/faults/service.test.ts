// A service that is away, slow, hostile or of another opinion: what the ledger says when it is well again.
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../api/contract/batch.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { ShipError } from '../../collector/ports.ts';
import { FaultSite, POLL_MS } from './site.ts';

let site: FaultSite;
let server: Server | null;
beforeEach(async () => {
  server = null;
  site = new FaultSite();
  await site.pass(5);
});
afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  expect(await site.differences()).toEqual([]);
  await site.close();
});

const sum = (booked: Record<string, number>): number => Object.values(booked).reduce((a, b) => a + b, 0);

/** From now on the agent talks to this, by the real client. Gives the number of requests. */
async function hostile(answer: (response: ServerResponse) => void): Promise<() => number> {
  let count = 0;
  const made = createServer((request, response) => {
    request.resume();
    count += 1;
    answer(response);
  }).listen(0, '127.0.0.1');
  server = made;
  await once(made, 'listening');
  const address = made.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const network = createNetwork({ apiUrl: `http://127.0.0.1:${port}`, token: () => 'glt_x' });
  site.faults.network = () => network;
  return () => count;
}

const nonsense: [string, (response: ServerResponse) => void, RegExp][] = [
  [
    'a page of HTML',
    (to) => void to.end('<html>Welcome to the guest network</html>'),
    /not an answer to batches/,
  ],
  [
    'JSON of another shape',
    (to) => void to.end('{"results":"all","expectedSeq":1}'),
    /not an answer to batches/,
  ],
  ['an answer about none of them', (to) => void to.end('{"results":[],"expectedSeq":1}'), /without saying/],
  [
    'an answer about others',
    (to) => void to.end('{"results":[{"seq":900,"status":"stored","message":null}],"expectedSeq":901}'),
    /without saying/,
  ],
  [
    'a wrong number that it expects',
    (to) => void to.end('{"results":[{"seq":3,"status":"out_of_order","message":null}],"expectedSeq":3}'),
    /refuses the very batch|expects batch/,
  ],
  ['an error', (to) => void to.writeHead(500).end('{'), /HTTP 500/],
  [
    'half a body',
    (to) => {
      to.writeHead(200, { 'content-length': 1000 });
      to.write('{"res');
      to.destroy();
    },
    /cannot be reached/,
  ],
  ['a redirect', (to) => void to.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /redirects/],
  [
    'a body without end',
    (to) => {
      const more = (): void => {
        while (!to.destroyed && to.write('x'.repeat(65_536)));
      };
      to.on('drain', more);
      more();
    },
    /too long/,
  ],
  ['a refused token', (to) => void to.writeHead(401).end(), /does not know this token/],
];
describe('a service that answers nonsense', () => {
  it.each(nonsense)(
    '%s: nothing is thrown away, the log says what is wrong, and all arrives later',
    async (_what, act, said) => {
      const requests = await hostile(act);
      await site.pass(14);
      expect(requests()).toBeGreaterThan(0);
      expect(site.node.logged.join('\n')).toMatch(said);
      site.faults.network = null;
      await site.pass(20);
      await site.end();
      expect(site.booked()).toEqual({ idle: 38 * POLL_MS });
      expect(site.problems().some((problem) => problem.startsWith('shipper: '))).toBe(true);
    },
  );

  it('tells the agent that it has what it has not: that time is silence, not work', async () => {
    await hostile(
      (to) => void to.end('{"results":[{"seq":3,"status":"stored","message":null}],"expectedSeq":4}'),
    );
    await site.pass(10);
    site.faults.network = null;
    await site.pass(10);
    await site.end();
    expect(sum(site.booked())).toBe(24 * POLL_MS);
    expect(
      Object.keys(site.booked()).every((name) => ['idle', 'unobserved agent_silent'].includes(name)),
    ).toBe(true);
  });

  it('sets everything aside for a while: the agent begins new streams, and keeps what is set aside no more', async () => {
    site.faults.network = () => ({
      send: async ({ batches }) => ({
        results: batches.map(({ body }) => ({
          seq: body.seq,
          status: 'quarantined' as const,
          message: 'planted',
        })),
        expectedSeq: 1,
      }),
    });
    await site.pass(7);
    site.faults.network = null;
    await site.pass(10);
    await site.end();
    expect(sum(site.booked())).toBe(21 * POLL_MS);
    expect(site.booked()['idle']).toBeGreaterThanOrEqual(10 * POLL_MS);
  });
});

it('is away for a day: the spool holds it all, it arrives in order, and no time is lost', async () => {
  await site.close();
  site = new FaultSite({ shipIntervalMs: 600_000, windowMs: 30_000, pollIntervalMs: 60_000 });
  await site.pass(3, 60_000);
  site.faults.network = () => ({ send: () => Promise.reject(new ShipError('down', false)) });
  for (let hour = 0; hour < 24; hour += 1) {
    site.clock.set(site.clock.nowMs() + HOUR_MS);
    await site.node.pass(60, 60_000);
    await site.node.agent.ship();
  }
  await site.settle();
  expect(site.booked()['unobserved agent_silent']).toBeGreaterThan(23 * HOUR_MS);
  site.faults.network = null;
  await site.pass(3, 60_000);
  await site.end();
  expect(site.booked()).toEqual({ idle: (24 * 60 + 5) * 60_000 });
  const order = site.rows('SELECT number FROM batches ORDER BY rowid').map(({ number }) => Number(number));
  expect(order).toEqual([...order].sort((a, b) => a - b));
}, 30_000);

describe('a node whose clock goes ahead', () => {
  it.each([
    ['eleven minutes', 11 * 60_000],
    ['an hour', HOUR_MS],
    ['twenty hours', 20 * HOUR_MS],
  ])(
    '%s: its reports wait until the service lives in their time, and none is lost',
    async (_what, aheadMs) => {
      await site.close();
      site = new FaultSite();
      site.tellNoTime();
      site.node.wallMs += aheadMs;
      await site.pass(150);
      expect(site.node.logged.join('\n')).toMatch(/seconds ahead of this service's clock/);
      // The clock stays wrong: true time comes to where the reports lie, while new ones lie ahead again.
      site.away(aheadMs);
      await site.pass(30);
      await site.settle();
      expect(site.booked()['idle']).toBeGreaterThanOrEqual(140 * POLL_MS);
      expect(site.problems().join('\n')).toContain("ahead of this service's clock");
    },
  );

  it('reports that are not ahead are taken, though later ones in the same request are', async () => {
    await site.close();
    site = new FaultSite();
    site.tellNoTime();
    site.node.wallMs += 11 * 60_000;
    await site.pass(240);
    await site.settle();
    // Of twenty minutes only what lies more than ten minutes ahead is still to come.
    expect(site.booked()['idle']).toBeGreaterThanOrEqual(19 * 60_000 - 120_000);
  });
});
