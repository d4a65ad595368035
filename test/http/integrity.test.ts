/** What the API says of how nodes are read: the fleet compared, a node's files and machine, and the stories of findings. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BatchBody, ToolFact } from '../../api/contract/batch.ts';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import { FleetIntegrity, NodeDetail } from '../../api/contract/integrity.ts';
import { run } from '../cli/gpuledger.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  personalOf,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const HOSTILE = '\u202e<script>alert(1)</script> \\x1b[31m';
const SMI = 'a'.repeat(64);
const OTHER = 'b'.repeat(64);
const LIBRARY = 'c'.repeat(64);
const tool = (role: ToolFact['role'], sha256: string | null, more: Partial<ToolFact> = {}): ToolFact => ({
  ...{ role, path: `/usr/lib/${role}`, device: '8:1', inode: '5', ownerUid: 0, sizeBytes: 100 },
  ...{ sha256, version: null },
  ...more,
});
const usual = [tool('nvidia_smi', SMI), tool('libnvidia_ml', LIBRARY, { version: '570.10' })];

const clock = handClock(START + 3 * HOUR);
let service: Service;
let viewer: string;

/** Sends a first batch of a node with one device. */
async function report(node: string, more: Partial<BatchBody>): Promise<void> {
  const batch = new Stream(node).batch(START, START + MINUTE, { inventory: [device(node, 0)], ...more });
  await service.app.services.ingest.accept(agentOf(node), post(batch));
}
async function get<T>(schema: { parse(value: unknown): T }, path: string, token = viewer): Promise<T> {
  const answer = await service.ask('GET', path, { token });
  expect(answer.status).toBe(200);
  return schema.parse(answer.json);
}
const fleet = () => get(FleetIntegrity, '/v1/integrity');
const cli = (...args: string[]) =>
  run(['fleet', 'integrity', ...args], { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: viewer });

beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  viewer = await service.tokenFor('viewer');
});
afterAll(() => service.stop());

describe('the fleet', () => {
  test('with nothing to compare says so', async () => {
    expect(await fleet()).toMatchObject({ ok: true, nodes: 0, groups: [], unlisted: { nodes: 0 } });
    expect((await cli()).stdout).toContain('No agent has listed');
  });

  test('of nodes that agree is well, whatever other driver versions have', async () => {
    for (const node of ['n1', 'n2', 'n3']) await report(node, { tools: usual });
    await report('old', {
      driverVersion: '535.1',
      tools: [tool('nvidia_smi', OTHER), tool('libnvidia_ml', OTHER)],
    });
    // No driver: nothing is missing there.
    await report('cpu', { driverVersion: null, tools: [], inventory: null });
    const answer = await fleet();
    expect(answer).toMatchObject({
      ok: true,
      nodes: 4,
      differing: { nodes: 0 },
      withoutLibrary: { nodes: 0 },
    });
    expect(answer.groups.map(({ role, driverVersion, nodes }) => [role, driverVersion, nodes])).toEqual([
      ['nvidia_smi', '535.1', 1],
      ['nvidia_smi', '570.10', 3],
      ['libnvidia_ml', '535.1', 1],
      ['libnvidia_ml', '570.10', 3],
    ]);
    const told = await cli();
    expect(told).toMatchObject({ code: 0, stderr: '' });
    expect(told.stdout).toContain('4 nodes compared: those with the same driver version agree.');
  });

  test('names who differs from most, who has no library, and who never said', async () => {
    await report('odd', { tools: [tool('nvidia_smi', OTHER), usual[1] ?? tool('libnvidia_ml', LIBRARY)] });
    await report('bare', { tools: [tool('nvidia_smi', SMI)] });
    await report('mute', {});
    await report('blind', { tools: [tool('nvidia_smi', null), ...usual.slice(1)] });
    await report('loaded', { tools: [...usual, tool('preload', OTHER)] });
    const answer = await fleet();
    expect(answer.ok).toBe(false);
    expect(answer.differing.items.map(({ node, role }) => [node, role])).toEqual([
      ['odd', 'nvidia_smi'],
      ['bare', 'libnvidia_ml'],
      ['loaded', 'preload'],
    ]);
    expect(answer.withoutLibrary).toEqual({ nodes: 1, names: ['bare'] });
    expect(answer.unlisted).toEqual({ nodes: 1, names: ['mute'] });
    const smi = answer.groups.find(
      ({ role, driverVersion }) => role === 'nvidia_smi' && driverVersion === '570.10',
    );
    expect(smi?.variants.map(({ files, nodes, usual: most }) => [files[0]?.sha256, nodes, most])).toEqual([
      [SMI, 5, true],
      [null, 1, false],
      [OTHER, 1, false],
    ]);
    const told = await cli();
    expect(told.code).toBe(1);
    expect(told.stdout).toContain(
      '3 nodes with other files than most of the same driver version: odd, bare, loaded.',
    );
    expect(told.stdout).toContain('1 node with a driver, but without libnvidia-ml: bare.');
    expect(told.stdout).toContain('could not be read');
    expect(FleetIntegrity.parse(JSON.parse((await cli('--json')).stdout))).toEqual(answer);
  });

  test('without a majority is not well, and nobody is said to differ', async () => {
    await report('old2', {
      driverVersion: '535.1',
      tools: [tool('nvidia_smi', SMI), tool('libnvidia_ml', OTHER)],
    });
    const { groups, differing } = await fleet();
    const split = groups.find(
      ({ role, driverVersion }) => role === 'nvidia_smi' && driverVersion === '535.1',
    );
    expect(split?.variants.map((variant) => variant.usual)).toEqual([false, false]);
    expect(differing.items.filter(({ driverVersion }) => driverVersion === '535.1')).toEqual([]);
  });

  test('is for those who may read it', async () => {
    const token = await service.tokenFor('owner');
    expect((await service.ask('GET', '/v1/integrity', { token })).status).toBe(403);
    expect((await service.ask('GET', '/v1/integrity')).status).toBe(401);
  });
});

test('a node has its files and its machine; another has neither', async () => {
  const host = {
    ...{ operatingSystem: 'Debian 12', kernel: '6.1.0', processor: 'EPYC', cores: 96, memoryBytes: 2 ** 40 },
    virtualisation: null,
  };
  await report('told', { tools: usual, host });
  const node = await get(NodeDetail, '/v1/nodes/told');
  expect(node).toMatchObject({ name: 'told', tools: usual, host });
  expect(node.toolsListedAt).toBe(new Date(START).toISOString());
  const mute = await get(NodeDetail, '/v1/nodes/mute');
  expect([mute.tools, mute.toolsListedAt, mute.host]).toEqual([null, null, null]);
});

describe('stories', () => {
  const gpu = { ...device('s1', 6), minor: 6 };
  const slurm = '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0';
  const alice = personalOf('alice', './quiet');
  const holder = processFact(812, { comm: 'quiet', cgroup: slurm, personal: alice.digest });
  const later = processFact(813, { comm: 'later' });

  beforeAll(async () => {
    const stream = new Stream('s1');
    const at = (ms: number) => ({ firstMs: START + ms, lastMs: START + ms });
    const batch = stream.batch(
      START,
      START + 30 * MINUTE,
      {
        inventory: [gpu],
        processes: [holder, later],
        tenancies: [{ ...tenancy(gpu.uuid, START, 30 * MINUTE), activeMs: [20 * MINUTE] }],
        holders: [
          { device: gpu.uuid, process: holder.key, ...at(MINUTE) },
          { device: gpu.uuid, process: holder.key, ...at(20 * MINUTE) },
        ],
        integrity: [
          { kind: 'process_covered', device: gpu.uuid, process: holder.key, detail: HOSTILE, ...at(MINUTE) },
          {
            kind: 'process_covered',
            device: gpu.uuid,
            process: holder.key,
            detail: HOSTILE,
            ...at(2 * MINUTE),
          },
          { kind: 'tool_changed', device: null, process: null, detail: 'nvidia-smi is new', ...at(MINUTE) },
        ],
      },
      [alice],
    );
    // Long after the device was still again.
    const calm = stream.batch(START + 30 * MINUTE, START + HOUR, {
      tenancies: [tenancy(gpu.uuid, START + 30 * MINUTE, 30 * MINUTE)],
      holders: [{ device: gpu.uuid, process: later.key, ...at(50 * MINUTE) }],
    });
    await service.app.services.ingest.accept(agentOf('s1'), post(batch, calm));
    await service.app.attribution.whenIdle();
  });

  const findings = async (kind: string) =>
    (await get(FindingList, `/v1/findings?node=s1&kind=${kind}`)).items;
  const story = async (id = '') => (await get(FindingDetail, `/v1/findings/${id}`)).story;

  test('of a device that shows no process name who had it open, and the verdict stays', async () => {
    const [finding] = await findings('compute');
    expect(finding).toMatchObject({ reason: 'no_process', activeMs: 20 * MINUTE, source: { process: null } });
    const { observed } = await story(finding?.id);
    const named = observed.filter((line) => line.includes('/dev/nvidia6'));
    expect(named).toEqual([
      `Process 812 ("quiet") had /dev/nvidia6 open at 2026-10-05 08:01:00 UTC, though the driver does not list it there: ` +
        `/usr/bin/python3.11, as OS account alice, in slurm:7.`,
    ]);
  });

  test('of a process name it, its job, and what the agent said, once and as text', async () => {
    const found = await findings('integrity');
    expect(
      found.map(({ reason, severity, activeMs, running }) => [reason, severity, activeMs, running]),
    ).toEqual(
      expect.arrayContaining([
        ['process_covered', 'warn', 0, true],
        // A moment, not a state.
        ['tool_changed', 'warn', 0, false],
      ]),
    );
    const covered = found.find(({ reason }) => reason === 'process_covered');
    expect(covered?.source).toMatchObject({ pid: 812, user: 'alice' });
    const told = await get(FindingDetail, `/v1/findings/${covered?.id}`);
    expect(told.story.observed.filter((line) => line.includes(HOSTILE))).toEqual([
      `The agent of the node says: ${HOSTILE}`,
    ]);
    expect(told.story.observed).toContain('The kernel holds it in slurm:7.');
    expect(told.processes.find(({ role }) => role === 'source')?.pid).toBe(812);
    expect([told.story.candidates, told.cost.charged, told.timelines]).toEqual([[], [], []]);
    const shown = await run(['findings', 'show', told.id], {
      GPULEDGER_URL: service.url,
      GPULEDGER_TOKEN: viewer,
    });
    expect(shown.stdout).toContain('The agent of the node says');
    expect(shown.stdout).not.toContain('\u202e');
  });

  test('of the node are about no process', async () => {
    const changed = (await findings('integrity')).find(({ reason }) => reason === 'tool_changed');
    expect((await story(changed?.id)).observed).toEqual([
      expect.stringContaining('is another than before'),
      'The agent of the node says: nvidia-smi is new',
    ]);
    const listed = await run(['findings', 'list', '--kind', 'integrity'], {
      GPULEDGER_URL: service.url,
      GPULEDGER_TOKEN: viewer,
    });
    expect(listed.stdout).toContain('the node itself');
    expect(listed.stdout).not.toContain('no_process');
  });
});
