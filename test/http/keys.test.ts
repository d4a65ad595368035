/** The keys by which nodes sign, over HTTP and on the command line, from the first contact to a new one that is accepted. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NodeKeyList, NodeKeyOut } from '../../api/contract/keys.ts';
import { files } from '../../collector/ports/real.ts';
import { openSigner } from '../../collector/signer.ts';
import { run } from '../cli/gpuledger.ts';
import { agentOf, CLUSTER, device, HOUR, handClock, MINUTE, post, START, Stream } from '../store/site.ts';
import { type Service, startService } from './service.ts';

const clock = handClock(START + HOUR);
const stream = new Stream('n1');
const newKey = () => openSigner(files, mkdtempSync(join(tmpdir(), 'gpuledger-key-')));
const [before, after] = [newKey(), newKey()];
let service: Service;
let admin: string;
let viewer: string;

beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  admin = await service.tokenFor('admin');
  viewer = await service.tokenFor('viewer');
  for (const [at, signer] of [before, after].entries()) {
    const batch = stream.batch(START + at * MINUTE, START + (at + 1) * MINUTE, {
      inventory: [device('n1', 0)],
    });
    await service.app.services.ingest.accept(agentOf('n1'), post(signer.sign(batch)));
  }
});
afterAll(() => service.stop());

const cli = (token: string, ...args: string[]) =>
  run(['fleet', ...args], { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: token });
const keys = async (query = '') =>
  NodeKeyList.parse((await service.ask('GET', `/v1/keys${query}`, { token: viewer })).json);
const accept = (token: string, node: string, key: string, accepted = true) =>
  service.ask('PUT', `/v1/nodes/${node}/keys/${key}`, { token, body: { accepted } });

test('are listed with what is to be done, for all nodes, one, or only those that wait', async () => {
  const seconds = { node: 'n1', key: after.publicKey, first: false, recordedBy: 'agent', waiting: true };
  expect(await keys()).toMatchObject({ keys: 2, items: [{ key: before.publicKey, first: true }, seconds] });
  expect(await keys('?waiting=true')).toMatchObject({ keys: 1, items: [seconds] });
  expect(await keys('?node=n2')).toEqual({ keys: 0, items: [] });
  const shown = await cli(viewer, 'keys');
  expect(shown.code).toBe(1);
  expect(shown.stdout).toContain(before.publicKey.slice(0, 16));
  expect(shown.stdout).toContain('NOT ACCEPTED');
});

test('are accepted by administrators only, by a key that the node has used', async () => {
  expect((await accept(viewer, 'n1', after.publicKey)).status).toBe(403);
  expect((await accept(admin, 'n1', 'a'.repeat(64))).status).toBe(404);
  expect((await accept(admin, 'n1', 'short')).status).toBe(400);
  expect((await accept(admin, 'n1', after.publicKey, false)).status).toBe(400);
  expect((await cli(viewer, 'accept-key', 'n1', after.publicKey)).code).toBe(1);
  const short = await cli(admin, 'accept-key', 'n1', after.publicKey.slice(0, 8));
  expect([short.code, short.stderr]).toEqual([2, expect.stringContaining('has no key that begins with')]);
  expect((await keys('?waiting=true')).keys).toBe(1);

  const done = await cli(admin, 'accept-key', 'n1', after.publicKey.slice(0, 16));
  expect([done.stderr, done.code]).toEqual(['', 0]);
  expect(NodeKeyOut.parse((await accept(admin, 'n1', after.publicKey)).json)).toMatchObject({
    waiting: false,
  });
  const none = await cli(viewer, 'keys', '--waiting');
  expect([none.code, none.stdout]).toEqual([0, expect.stringContaining('No key waits')]);
});
