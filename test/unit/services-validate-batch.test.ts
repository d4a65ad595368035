import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchRequest } from '../../api/contract/batch.ts';
import { BatchRequestSchema } from '../../api/contract/batch-schema.ts';
import { BadField } from '../../api/services/check-members.ts';
import { checkBatchRequest } from '../../api/services/validate-batch.ts';
import { device, MINUTE, personalOf, post, processFact, START, Stream, tenancy } from '../store/site.ts';

function sample(): BatchRequest {
  const stream = new Stream('n1');
  const instance = { uuid: 'MIG-1', gpuInstance: 1, computeInstance: 0, profile: '3g.40gb', slices: 3 };
  const gpu = { ...device('n1', 0), slices: 7, instances: [instance] };
  const [a, b] = [
    processFact(10, {
      claims: [{ name: 'SLURM_JOB_ID', value: '7' }],
      sessionId: 9,
      namespaces: { pid: 1, net: 2, mnt: 3, user: 4 },
      argumentsDigest: '0'.repeat(64),
    }),
    processFact(11),
  ];
  const personal = personalOf('alice', 'python train.py');
  const first = stream.batch(
    START,
    START + MINUTE,
    {
      inventory: [gpu],
      processes: [{ ...a, personal: personal.digest }, b],
      tenancies: [
        {
          ...tenancy(gpu.uuid, START, 20_000, a, b),
          partition: [{ gpuInstance: 1, slices: 3 }],
        },
        { ...tenancy(gpu.uuid, START + 20_000, 10_000), conflictMs: [10_000] },
        { ...tenancy(gpu.uuid, START + 30_000, 30_000, a), activeMs: null, shareMs: [] },
      ],
      gaps: [{ device: null, fromMs: START, toMs: START + 1, reason: 'poll_late', detail: '' }],
      connections: [
        {
          process: a.key,
          kind: 'established',
          peerClass: 'external',
          localPort: 4000,
          firstMs: START,
          lastMs: START,
          peers: 1,
          personal: null,
        },
      ],
      accounted: [
        {
          ...{ device: gpu.uuid, process: '12/?5', openMs: 900, busyPercent: 90, maxMemoryBytes: 1 },
          ...{ afterMs: START, seenMs: START + 5_000 },
        },
      ],
      holders: [{ device: gpu.uuid, process: b.key, firstMs: START, lastMs: START + 1 }],
      dials: [
        { process: a.key, netNamespace: 2, attempts: 9, failed: 8, fromMs: START, toMs: START + 60_000 },
      ],
      integrity: [
        {
          ...{ kind: 'process_hidden', device: gpu.uuid, process: '12/?5', detail: 'not in /proc' },
          ...{ firstMs: START, lastMs: START },
        },
      ],
      tools: [
        {
          ...{ role: 'libnvidia_ml', path: '/usr/lib/libnvidia-ml.so.570.10', device: '8:1', inode: '5' },
          ...{ ownerUid: 0, sizeBytes: 1, sha256: '0'.repeat(64), version: '570.10' },
        },
      ],
      host: {
        ...{ operatingSystem: 'Debian 12', kernel: '6.1', processor: 'x', cores: 2, memoryBytes: 1 },
        virtualisation: 'kvm',
      },
      grants: {
        atMs: START,
        grants: [
          {
            ...{ namespace: 'team-a', pod: 'llm-0', container: 'main', resource: 'nvidia.com/gpu' },
            ids: [`${gpu.uuid}::1`],
          },
        ],
        replicas: [{ device: gpu.uuid, count: 4 }],
      },
      clockSteps: [{ atMs: START, stepMs: -5 }],
      problems: [{ atMs: START, source: 'nvidia-smi', message: 'slow' }],
    },
    [personal, { ...personal, value: { kind: 'connection', peers: ['198.51.100.7:443'] } }],
  );
  const signature = { key: '1'.repeat(64), value: '2'.repeat(128) };
  return post({ ...first, signature }, stream.batch(START + MINUTE, START + 2 * MINUTE));
}

const fast = (value: unknown): string | null => {
  try {
    checkBatchRequest(value);
    return null;
  } catch (error) {
    if (error instanceof BadField) return error.field;
    throw error;
  }
};

/** Every path to a member of a value, leaves and inner ones. */
function pathsOf(value: unknown, before: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const path = [...before, name];
    return [path, ...pathsOf(member, path)];
  });
}

function change(value: unknown, path: readonly string[], put: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return put;
  if (Array.isArray(value)) {
    const copy = [...value];
    copy[Number(name)] = change(value[Number(name)], rest, put);
    return copy;
  }
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = { ...value };
  const changed = change(copy[name], rest, put);
  if (changed === undefined) delete copy[name];
  else copy[name] = changed;
  return copy;
}

describe('the fast check and the schema agree', () => {
  test('on a sound request', () => {
    expect(fast(sample())).toBeNull();
    expect(BatchRequestSchema.safeParse(sample()).error).toBeUndefined();
  });

  const base = sample();
  const paths = pathsOf(base);
  const put = fc.oneof(
    fc.constantFrom(
      undefined,
      null,
      '',
      'x',
      true,
      [],
      {},
      -1,
      0,
      1,
      1.5,
      65_536,
      2 ** 53,
      START,
      START + 1,
      START + MINUTE,
    ),
    fc.constantFrom(
      'no\u0000name',
      'half\ud800',
      'x'.repeat(254),
      'f'.repeat(64),
      'f'.repeat(128),
      '10/1000',
      '11/?5',
      'sole',
      '1/2/3',
    ),
    fc.integer(),
    fc.constantFrom(
      [1],
      [0, 0],
      [30_000],
      [[15_000], [15_000]],
      ['a'],
      Array.from({ length: 300 }, () => 1),
    ),
  );

  test('on requests with one or two members changed', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...paths), put), { minLength: 1, maxLength: 2 }),
        (changes) => {
          const changed = changes.reduce<unknown>((value, [path, to]) => change(value, path, to), base);
          const field = fast(changed);
          if (field !== null) refused += 1;
          expect(BatchRequestSchema.safeParse(changed).success).toBe(field === null);
        },
      ),
      { numRuns: 3_000 },
    );
    expect(refused).toBeGreaterThan(1_000);
  });

  test('on a member that is not known, anywhere', () => {
    for (const path of [[], ...paths]) {
      const changed = change(base, [...path, 'surprise'], 1);
      expect(fast(changed) === null, path.join('.')).toBe(BatchRequestSchema.safeParse(changed).success);
    }
  });
});

describe('the field that is named', () => {
  const cases: [string, string, unknown][] = [
    ['a batch that leaves its hour', 'batches.0.body.toMs', START + 61 * MINUTE],
    ['a batch that ends before it begins', 'batches.0.body.toMs', START - 1],
    ['shares that do not sum', 'batches.0.body.tenancies.0.shareMs', [[1], [1]]],
    ['more active than long', 'batches.0.body.tenancies.0.activeMs', [30_001]],
    ['a span beyond the batch', 'batches.0.body.tenancies.2.lengthMs', [30_001]],
    ['a gap of no length', 'batches.0.body.gaps.0.toMs', START],
    ['a key that is not of the pid', 'batches.0.body.processes.0.key', '99/1'],
    ['a float', 'batches.0.body.tenancies.0.lengthMs', [1.5]],
    ['a number of no batch', 'batches.0.body.seq', 0],
    ['another node in the same request', 'batches.1.body.node', 'n2'],
    ['half a character in a name', 'batches.0.body.inventory.0.uuid', 'GPU-\ud800'],
    ['half a character where a digest is', 'batches.0.personal.0.value.commandLine', 'a\udc00'],
    ['NUL where a digest is', 'batches.0.personal.0.value.user', 'a\u0000'],
    ['a device named twice', 'batches.0.body.inventory', [device('n1', 0), device('n1', 0)]],
  ];
  test.each(cases)('%s', (_what, path, put) => {
    const changed = change(sample(), path.split('.'), put);
    expect(fast(changed)).toBe(path);
    expect(BatchRequestSchema.safeParse(changed).success).toBe(false);
  });

  test('an empty list, a wrong root', () => {
    expect(fast({ batches: [] })).toBe(null);
    expect(fast(null)).toBe('body');
    expect(fast([])).toBe('body');
  });
});
