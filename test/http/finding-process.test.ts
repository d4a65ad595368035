/** What a finding tells of its processes: where they live, what they run from, and what was tried beside them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const HOST = { pid: 4_026_531_836, net: 4_026_531_840, mnt: 4_026_531_841, user: 4_026_531_837 };
const NET = 4_026_532_500;
const DIGEST = 'ab'.repeat(32);
const gpu = device('n1', 0);

let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ clock: handClock(START + 2 * HOUR), cluster: CLUSTER });
  token = await service.tokenFor('admin');
  const init = processFact(1, { namespaces: HOST, parent: null, sessionId: 1 });
  const process = processFact(10, {
    parent: init.key,
    sessionId: 7,
    namespaces: { ...HOST, net: NET, mnt: 4_026_532_501 },
    argumentsDigest: DIGEST,
    executable: { path: '/memfd:x', device: '0:1', inode: '5', deleted: true, fileSystem: 'memfd' },
  });
  const dial = (netNamespace: number, minute: number, attempts: number) => ({
    ...{ process: init.key, netNamespace, attempts, failed: attempts - 1 },
    ...{ fromMs: START + minute * MINUTE, toMs: START + (minute + 1) * MINUTE },
  });
  const hour = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    processes: [init, process],
    tenancies: [tenancy(gpu.uuid, START, HOUR, process)],
    dials: [dial(NET, 3, 10), dial(NET, 4, 90), dial(HOST.net, 4, 7)],
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(hour));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

test('a process is told with its session, its own namespaces, and the file system that it runs from', async () => {
  const list = FindingList.parse((await service.ask('GET', '/v1/findings', { token })).json);
  const answer = await service.ask('GET', `/v1/findings/${list.items[0]?.id}`, { token });
  const finding = FindingDetail.parse(answer.json);
  const [init, source] = finding.processes.toSorted((a, b) => a.pid - b.pid);
  expect(init).toMatchObject({ pid: 1, sessionId: 1, ownNamespaces: [], argumentsDigest: null });
  expect(source).toMatchObject({
    sessionId: 7,
    ownNamespaces: ['net', 'mnt'],
    argumentsDigest: DIGEST,
    executable: { fileSystem: 'memfd' },
  });
  expect(finding.dials).toEqual([
    {
      ...{ attempts: 100, failed: 98, mostAMinute: 90, ofHost: false },
      ...{ from: new Date(START + 3 * MINUTE).toISOString(), to: new Date(START + 5 * MINUTE).toISOString() },
    },
  ]);
});
