/** What a finding tells where only the device is known: processes that accounting lists, and readings that disagree. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ACCOUNTED_TYPE, type AccountedFact } from '../../api/contract/batch.ts';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  post,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const [listed, drawing, still] = [device('n1', 0), device('n1', 1), device('n1', 2)] as const;
const ended = (pid: number, seenMs: number, openMs: number, busyPercent: number | null): AccountedFact => ({
  ...{ device: listed.uuid, process: `${pid}/?${seenMs}`, openMs, busyPercent, maxMemoryBytes: 0 },
  ...{ afterMs: seenMs - 5000, seenMs },
});
const rows = [
  ended(71, START + 10 * MINUTE, 4000, 50),
  ended(72, START + 20 * MINUTE, 3000, null),
  ended(73, START + 30 * MINUTE, 2000, 100),
];

/** The device is still for the hour, but for the ends of the intervals in which accounting found these. */
function tenancies() {
  const all = [];
  let atMs = START;
  for (const { process, openMs, busyPercent, seenMs } of rows) {
    const activeMs = (openMs * (busyPercent ?? 0)) / 100;
    all.push(tenancy(listed.uuid, atMs, seenMs - openMs - atMs), {
      ...tenancy(listed.uuid, seenMs - openMs, openMs),
      tenants: [{ process, type: ACCOUNTED_TYPE, memoryBytes: null, gpuInstance: null }],
      activeMs: [activeMs],
      shareMs: [[activeMs]],
    });
    atMs = seenMs;
  }
  return [...all, tenancy(listed.uuid, atMs, START + HOUR - atMs)];
}

let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ clock: handClock(START + 2 * HOUR), cluster: CLUSTER });
  token = await service.tokenFor('admin');
  const hour = new Stream('n1').batch(START, START + HOUR, {
    inventory: [listed, drawing, still],
    tenancies: [
      ...tenancies(),
      { ...tenancy(drawing.uuid, START, HOUR), conflictMs: [15 * MINUTE] },
      tenancy(still.uuid, START, HOUR),
    ],
    accounted: [...rows, { ...ended(74, START + 40 * MINUTE, 60_000, 100), device: still.uuid }],
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(hour));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

async function findingOf(uuid: string): Promise<FindingDetail> {
  const list = FindingList.parse((await service.ask('GET', '/v1/findings', { token })).json);
  const one = list.items.find((item) => item.devices.some((each) => each.uuid === uuid));
  return FindingDetail.parse((await service.ask('GET', `/v1/findings/${one?.id}`, { token })).json);
}

/** Milliseconds of each kind over the whole time line. */
const sums = ({ timelines: [line] }: FindingDetail): Record<string, number> =>
  Object.fromEntries(
    (line?.series ?? []).map(({ kind, ms }) => [kind, ms.reduce((sum, one) => sum + one, 0)]),
  );

test('processes that only accounting lists are told with both bounds of what they executed', async () => {
  const finding = await findingOf(listed.uuid);
  expect(finding).toMatchObject({
    reason: 'no_process',
    strength: 'suspicion',
    activeMs: 4000,
    residentMs: 5000,
  });
  expect(finding.story.observed).toContain(
    "The driver's accounting lists 3 processes that no reading showed there: the device was open to them " +
      'for 9 s in sum, and executed for at least 4 s of it as far as the driver sampled.',
  );
  expect(sums(finding)).toMatchObject({ source: 4000 });
});

test('a device that draws power while it claims to be still is told as just that', async () => {
  const finding = await findingOf(drawing.uuid);
  expect(finding).toMatchObject({ reason: 'telemetry_conflict', severity: 'warn', activeMs: 15 * MINUTE });
  expect(finding.story.observed.join('\n')).toContain('drew working power');
  expect(sums(finding)).toMatchObject({ source: 15 * MINUTE });
});

test('a device whose processes readings saw has no finding of its own', async () => {
  const list = FindingList.parse((await service.ask('GET', '/v1/findings', { token })).json);
  expect(list.items.flatMap((item) => item.devices.map((each) => each.uuid)).sort()).toEqual(
    [listed.uuid, drawing.uuid].sort(),
  );
});
