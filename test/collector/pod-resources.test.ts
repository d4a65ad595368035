// The kubelet's word on whose devices are whose: its gRPC server is not ours, the reader is.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GRANT_LIMITS } from '../../api/contract/grants.ts';
import { PodDevices } from '../../collector/pod-devices.ts';
import { callLocal } from '../../collector/ports/local-call.ts';
import { LIST, readGrants, readReplicas } from '../../collector/sources/pod-resources.ts';
import { BadMessage } from '../../collector/sources/protobuf.ts';
import { FakeKubelet, type KubeletPod, listMessage } from '../fakes/kubelet.ts';
import { createWard, type Ward } from './doctor-fixture.ts';

const GPU = 'GPU-aaaaaaaa-0000-0000-0000-000000000000';
let folder: string;
let socket: string;
let kubelet: FakeKubelet;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kubelet-'));
  socket = join(folder, 'kubelet.sock');
  kubelet = new FakeKubelet();
  await kubelet.start(socket);
});

afterEach(() => {
  kubelet.stop();
  rmSync(folder, { recursive: true, force: true });
});

const pod = (name: string, ...ids: string[]): KubeletPod => ({
  namespace: 'team-a',
  name,
  containers: [{ name: 'main', devices: [{ resource: 'nvidia.com/gpu', ids }] }],
});
const ask = async () => readGrants(await callLocal(socket, LIST, Buffer.alloc(0)));

describe('one question', () => {
  test('is answered with what containers have, GPUs only', async () => {
    kubelet.pods = [
      {
        namespace: 'team-a',
        name: 'llm-0',
        containers: [
          {
            name: 'main',
            devices: [
              { resource: 'nvidia.com/gpu', ids: [GPU, `${GPU}::3`] },
              { resource: 'rdma/hca', ids: ['mlx5_0'] },
            ],
          },
          { name: 'sidecar' },
          { name: 'other', devices: [{ resource: 'site.example/fast', ids: ['MIG-bbbbbbbb-0000'] }] },
        ],
      },
      { namespace: 'kube-system', name: 'dns', containers: [{ name: 'dns' }] },
      {
        namespace: 'team-b',
        name: 'dra-0',
        containers: [
          {
            name: 'new',
            dynamic: [
              { driver: 'gpu.nvidia.com', device: 'gpu-3' },
              { driver: 'nic.example', device: 'n0' },
            ],
          },
          { name: 'old', dynamic: [{ cdi: 'k8s.gpu.nvidia.com/device=gpu-1' }, { cdi: 'nic.example/x=y' }] },
        ],
      },
    ];
    expect(await ask()).toEqual({
      cut: false,
      grants: [
        {
          namespace: 'team-a',
          pod: 'llm-0',
          container: 'main',
          resource: 'nvidia.com/gpu',
          ids: [GPU, `${GPU}::3`],
        },
        {
          namespace: 'team-a',
          pod: 'llm-0',
          container: 'other',
          resource: 'site.example/fast',
          ids: ['MIG-bbbbbbbb-0000'],
        },
        { namespace: 'team-b', pod: 'dra-0', container: 'new', resource: 'gpu.nvidia.com', ids: ['gpu-3'] },
        { namespace: 'team-b', pod: 'dra-0', container: 'old', resource: 'gpu.nvidia.com', ids: ['gpu-1'] },
      ],
    });
  });

  test('is answered in many frames', async () => {
    kubelet.pods = Array.from({ length: 3000 }, (_, at) => ({
      namespace: 'n'.repeat(60),
      name: `${'p'.repeat(200)}${at}`,
      containers: [{ name: 'main', devices: [{ resource: 'cpu.example/x', ids: ['1'] }] }],
    }));
    kubelet.pods = [...kubelet.pods, pod('last', GPU)];
    expect((await ask()).grants.map((grant) => grant.pod)).toEqual(['last']);
  });

  test('with nothing given has an empty answer, which is one', async () => {
    expect(await ask()).toEqual({ grants: [], cut: false });
  });

  test.each([[12], [7], [8]])('that is refused with status %i says so', async (code) => {
    kubelet.refusal = code;
    await expect(ask()).rejects.toThrow(/refused/);
  });

  test('of nobody, of a closed door, and of something else', async () => {
    await expect(callLocal(join(folder, 'none.sock'), LIST, Buffer.alloc(0))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    const other = createServer((client) => client.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const path = join(folder, 'other.sock');
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(callLocal(path, LIST, Buffer.alloc(0))).rejects.toThrow(/something else than HTTP\/2/);
    await new Promise((resolve) => other.close(resolve));
  });

  test('that is answered with something else that never ends is given up', async () => {
    // Frames of another stream: nothing of the answer.
    const frame = Buffer.alloc(9 + 16_384);
    frame.writeUIntBE(16_384, 0, 3);
    frame.writeUInt32BE(3, 5);
    const other = createServer((client) => {
      const talk = (): void => {
        while (!client.destroyed && client.write(frame));
      };
      client.on('error', () => undefined).on('drain', talk);
      client.resume();
      talk();
    });
    const path = join(folder, 'talker.sock');
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(callLocal(path, LIST, Buffer.alloc(0))).rejects.toThrow('its answer has no end');
    await new Promise((resolve) => other.close(resolve));
  });

  test('whatever bytes come back end it', async () => {
    let bytes = Buffer.alloc(0);
    const other = createServer((client) => {
      client.on('error', () => undefined);
      client.resume().end(bytes);
    });
    const path = join(folder, 'odd.sock');
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (odd) => {
        bytes = Buffer.from(odd);
        await callLocal(path, LIST, Buffer.alloc(0)).then(
          (answer) => expect(answer.length).toBeLessThan(200),
          (error: unknown) => expect(error).toMatchObject({ name: 'CallError' }),
        );
      }),
      { numRuns: 100 },
    );
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('a message', () => {
  test('of any bytes is read or refused, and what is read fits the wire', () => {
    const sound = listMessage([
      pod('llm-0', GPU, 'nvidia0'),
      pod('llm-1', ...Array.from({ length: 40 }, (_, at) => `${GPU}::${at}`)),
    ]);
    const broken = fc
      .tuple(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 }), fc.nat(sound.length))
      .map(([at, byte, end]) => {
        const bytes = Buffer.from(sound);
        bytes[at] = byte;
        return bytes.subarray(0, end);
      });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
          broken,
        ),
        (bytes) => {
          for (const read of [() => readGrants(bytes).grants, () => readReplicas(bytes)])
            try {
              expect(read().length).toBeLessThanOrEqual(GRANT_LIMITS.grants);
            } catch (error) {
              if (!(error instanceof BadMessage)) throw error;
            }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('with more than the wire takes is cut, and says so', () => {
    const many = Array.from({ length: 40 }, (_, at) =>
      pod(`p${at}`, ...Array.from({ length: 150 }, (__, id) => `${GPU}::${at * 1000 + id}`)),
    );
    const { grants, cut } = readGrants(listMessage(many));
    expect(cut).toBe(true);
    expect(grants.reduce((sum, { ids }) => sum + ids.length, 0)).toBe(GRANT_LIMITS.ids);
  });

  test('with more resources in one container than anybody has is cut just so', () => {
    const devices = Array.from({ length: 50_000 }, (_, at) => ({
      resource: `nvidia.com/gpu${at}`,
      ids: [GPU],
    }));
    const crowd = { namespace: 'n', name: 'p', containers: [{ name: 'main', devices }] };
    const { grants, cut } = readGrants(listMessage([crowd]));
    expect({ grants: grants.length, cut }).toEqual({ grants: GRANT_LIMITS.grants, cut: true });
  });

  test('with names of any bytes keeps them harmless', () => {
    const [grant] = readGrants(listMessage([pod('a\u001b[2J\u202e\nb', GPU)])).grants;
    expect(grant?.pod).toBe('a\\x1b[2J\\xe2\\x80\\xae\\x0ab');
  });
});

describe('the doctor', () => {
  let ward: Ward;
  beforeEach(() => {
    ward = createWard();
  });
  afterEach(() => ward.remove());
  const kubeletCheck = async (path: string) =>
    (await ward.examine({ podResources: path }, { callLocal })).get('kubelet');

  test('says whether the kubelet is there, and answers', async () => {
    kubelet.pods = [pod('llm-0', GPU)];
    expect(await kubeletCheck(socket)).toMatchObject({
      status: 'ok',
      finding: expect.stringContaining('1 containers'),
    });
    expect(await kubeletCheck(join(folder, 'none.sock'))).toMatchObject({ status: 'ok', remedy: null });
    kubelet.refusal = 7;
    expect(await kubeletCheck(socket)).toMatchObject({
      status: 'warn',
      finding: expect.stringContaining('refused'),
      remedy: expect.stringContaining("kubelet's log"),
    });
    const file = join(folder, 'no-socket');
    writeFileSync(file, '');
    expect(await kubeletCheck(file)).toMatchObject({
      status: 'warn',
      remedy: expect.stringContaining('Nobody listens there'),
    });
  });
});

describe('the look at the kubelet', () => {
  const states: (string | null)[] = [];
  let changes = 0;
  let nowMs = 0;
  const clock = {
    wallMs: () => 1_790_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    sleep: () => Promise.resolve(),
  };
  const watcher = (path: string) =>
    new PodDevices(
      path,
      { clock, callLocal },
      { changed: () => (changes += 1), state: (wrong) => states.push(wrong) },
    );

  beforeEach(() => {
    states.length = 0;
    changes = 0;
    nowMs = 100_000;
  });

  test('is slow, sooner with news, and tells changes only', async () => {
    const pods = watcher(socket);
    kubelet.pods = [pod('llm-0', `${GPU}::0`)];
    kubelet.allocatable = [{ resource: 'nvidia.com/gpu', ids: [0, 1, 2].map((at) => `${GPU}::${at}`) }];
    await pods.lookIfDue(false);
    expect(pods.fact()).toMatchObject({
      atMs: 1_790_000_100_000,
      grants: [{ pod: 'llm-0', ids: [`${GPU}::0`] }],
      replicas: [{ device: GPU, count: 3 }],
    });
    nowMs += 4_000;
    await pods.lookIfDue(true);
    expect(kubelet.asked).toBe(1);
    nowMs += 2_000;
    await pods.lookIfDue(false);
    expect([kubelet.asked, changes]).toEqual([2, 1]);
    nowMs += 29_000;
    await pods.lookIfDue(false);
    expect(kubelet.asked).toBe(2);
    nowMs += 2_000;
    kubelet.pods = [];
    await pods.lookIfDue(false);
    expect([kubelet.asked, changes]).toEqual([3, 2]);
    expect(pods.fact()?.grants).toEqual([]);
  });

  test('says nothing where there is no kubelet, and keeps its word for a while where it went away', async () => {
    await watcher(join(folder, 'none.sock')).lookIfDue(false);
    expect(states).toEqual([]);
    const pods = watcher(socket);
    kubelet.pods = [pod('llm-0', GPU)];
    kubelet.allocatable = null;
    await pods.lookIfDue(false);
    kubelet.refusal = 14;
    nowMs += 60_000;
    await pods.lookIfDue(false);
    expect(states).toEqual([null, 'the kubelet does not say whose devices are whose: it refused the call']);
    expect(pods.fact()?.grants).toHaveLength(1);
    nowMs += 600_000;
    expect(pods.fact()).toBeNull();
  });
});
