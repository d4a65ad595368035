// What `verify` says of minor numbers of devices and of conflicting claims that were changed behind the service's back.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createVerifyThreads } from '../../api/cli/verify-threads.ts';
import { JobIn } from '../../api/contract/jobs.ts';
import { createSealer } from '../../api/services/seal.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from './service.ts';
import { caller, device, HOUR, START, Stream, tenancy } from './site.ts';

const SECOND_BOOT = '5e0a7b1c-0000-4000-8000-000000000002';
const time = (ms: number) => new Date(ms).toISOString();
const [gpu, other] = [device('n1', 0), device('n1', 1)];
const swapped = [
  { ...gpu, minor: 1 },
  { ...other, minor: 0 },
];
let service: Service;

/** Two boots of two devices, of which the second swaps the numbers, and a device that two jobs claim by its number. */
beforeEach(async () => {
  service = startService(START + 5 * HOUR);
  for (const externalId of ['a', 'b'])
    await service.declarations.declareJob(
      caller('scheduler'),
      JobIn.parse({
        ...{
          source: 'slurm',
          account: 'physics',
          externalId,
          start: time(START),
          end: time(START + 2 * HOUR),
        },
        allocations: [{ node: 'n1', indices: [0] }],
      }),
    );
  const stream = new Stream('n1');
  const hourOf = (hour: number, inventory: (typeof gpu)[], bootId?: string) =>
    stream.batch(START + hour * HOUR, START + (hour + 1) * HOUR, {
      inventory,
      tenancies: inventory.map((one) => tenancy(one.uuid, START + hour * HOUR, HOUR)),
      ...(bootId === undefined ? {} : { bootId }),
    });
  await service.send(hourOf(0, [gpu, other]), hourOf(1, swapped, SECOND_BOOT));
  const idle = device('n2', 0);
  await service.send(
    new Stream('n2').batch(START, START + HOUR, {
      inventory: [idle],
      tenancies: [tenancy(idle.uuid, START, HOUR)],
    }),
  );
  await service.attribution.whenIdle();
  expect(service.failures).toEqual([]);
  expect(service.rows('SELECT count(*) AS n FROM claim_conflicts')).toEqual([{ n: 2 }]);
  expect(service.rows('SELECT count(*) AS n FROM device_minors WHERE device <> 3')).toEqual([{ n: 4 }]);
});
afterEach(() => service.stop());

async function report(threads = 1): Promise<VerifyReport> {
  const store = openSqlite({ file: service.file, readOnly: true });
  try {
    const own = threads > 1 ? createVerifyThreads(service.file, threads) : [];
    return await verify(store, () => undefined, {}, own);
  } finally {
    await store.close();
  }
}
const linesOf = ({ differences }: VerifyReport): string[] =>
  differences.map(({ kind, where, what }) => `${kind}: ${where}: ${what}`);
const clean = { ok: true, differences: [], chain: [] };

test('untouched, sealed or not, nothing differs', async () => {
  expect(await report()).toMatchObject(clean);
  service.clock.set(START + 30 * HOUR);
  expect(await createSealer(service.store, service.clock, { error: () => undefined }).tick()).toBe(3);
  expect(await report()).toMatchObject(clean);
});

test('an hour that cannot be read is told of itself, and not its numbers', async () => {
  service.tamper(`UPDATE batches SET body = '{' WHERE hour_ms = ${START} AND node = 1`);
  const found = await report();
  expect(found.ok).toBe(false);
  expect(linesOf(found).filter((line) => line.includes('minor'))).toEqual([]);
});

const ofGpu = `minor = 0 AND node = 1 AND boot_id <> '${SECOND_BOOT}'`;
const COLUMNS = '(hour_ms, node, id, claims, devices, from_ms, to_ms, ms)';
const at0 = `node n1, ${time(START)}`;

describe('is named with its node and its time', () => {
  const planted: [what: string, sql: string, expected: RegExp][] = [
    [
      'since when a device has its number',
      `UPDATE device_minors SET first_ms = first_ms + 1000 WHERE ${ofGpu}`,
      RegExp(`^tampered: ${at0}, GPU-n1-0: minor number 0 in boot .* since ${time(START + 1_000)}`),
    ],
    [
      'a moment that is none',
      `UPDATE device_minors SET first_ms = 9000000000000000 WHERE ${ofGpu}`,
      RegExp(`^tampered: ${at0}, GPU-n1-0: minor number 0 .* since 9000000000000000 ms`),
    ],
    [
      'the number of a device',
      `UPDATE device_minors SET minor = 7 WHERE ${ofGpu}`,
      RegExp(`^tampered: ${at0}, GPU-n1-0: minor number 7 in boot .*: no inventory says so`),
    ],
    [
      'the boot in which it had it',
      `UPDATE device_minors SET boot_id = 'x' WHERE boot_id = '${SECOND_BOOT}'`,
      RegExp(`node n1, ${time(START + HOUR)}, GPU-n1-1: minor number 0 in boot ${SECOND_BOOT}: is missing`),
    ],
    [
      'a number that was taken out',
      `DELETE FROM device_minors WHERE ${ofGpu}`,
      RegExp(`^tampered: ${at0}, GPU-n1-0: minor number 0 in boot .*: is missing`),
    ],
    [
      'a number that was put in',
      `INSERT INTO device_minors SELECT node, 'x', 3, device, ${START - HOUR} FROM device_minors WHERE ${ofGpu}`,
      RegExp(`^tampered: node n1, ${time(START - HOUR)}, GPU-n1-0: minor number 3 in boot x: no inventory`),
    ],
    ...['ms = ms - 1', 'from_ms = from_ms + 1', "claims = '[1]'", "devices = 'none'"].map(
      (change): [string, string, RegExp] => [
        `a conflict: ${change}`,
        `UPDATE claim_conflicts SET ${change} WHERE hour_ms = ${START}`,
        RegExp(`^tampered: ${at0}, claims: conflict c_[0-9a-f]{16}: stored .*, the facts give `),
      ],
    ),
    [
      'a conflict that was taken out',
      `DELETE FROM claim_conflicts WHERE hour_ms = ${START}`,
      RegExp(`^tampered: ${at0}, claims: conflict c_[0-9a-f]{16} is missing`),
    ],
    [
      'a conflict of another name',
      `UPDATE claim_conflicts SET id = 'c_0' WHERE hour_ms = ${START}`,
      RegExp(`^tampered: ${at0}, claims: the facts give no conflict c_0`),
    ],
    [
      'a conflict that was put where none is',
      `INSERT INTO claim_conflicts ${COLUMNS} VALUES (${START}, 2, 'c_1', '[1,2]', '[3]', ${START}, ${START + 1}, 1)`,
      RegExp(`^tampered: node n2, ${time(START)}, claims: the facts give no conflict c_1`),
    ],
    [
      'a conflict in an hour without cells',
      `INSERT INTO claim_conflicts ${COLUMNS}
         VALUES (${START + 900 * HOUR}, 2, 'c_2', '[1,2]', '[3]', ${START}, ${START + 1}, 1)`,
      RegExp(`^tampered: node n2, ${time(START + 900 * HOUR)}, conflict c_2: does not add up`),
    ],
  ];
  test.each(planted)('%s', async (_what, sql, expected) => {
    service.tamper(sql);
    const found = await report();
    expect(found).toMatchObject({ ok: false, chain: [] });
    const own = linesOf(found).filter((line) => /minor number|conflict/.test(line));
    expect(own.join('\n')).toMatch(RegExp(expected.source, 'm'));
  });

  test('whichever thread comes to it', async () => {
    service.tamper(`DELETE FROM claim_conflicts; UPDATE device_minors SET first_ms = first_ms + 1`);
    const alone = await report();
    expect(linesOf(alone).filter((line) => /conflict c_.* is missing/.test(line))).toHaveLength(2);
    expect(linesOf(alone).filter((line) => line.includes('minor number'))).toHaveLength(5);
    expect(await report(2)).toEqual(alone);
  });
});
