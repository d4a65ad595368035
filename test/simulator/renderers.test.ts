/** What is rendered for a simulated node is what the agent's own readers understand. */

import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { cgroupOwner } from '../../api/contract/cgroup.ts';
import type { Network } from '../../collector/ports.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { parseList } from '../../collector/sources/nvidia-smi/list.ts';
import { createDevicePoller, readInventory } from '../../collector/sources/nvidia-smi.ts';
import { latest, startTicks } from './model.ts';
import { createSimulatedPorts, createVirtualClock, SIMULATED_PATHS } from './ports.ts';
import { createProcFolder } from './proc-folder.ts';
import { renderNvidiaSmi } from './render-nvidia-smi.ts';
import { FILE_SYSTEMS } from './render-proc.ts';
import { createSite } from './site.ts';
import { createNodeView } from './snapshot.ts';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 9, 5);
const END_MS = START_MS + 60 * HOUR_MS;
const offline: Network = { send: () => Promise.reject(new Error('offline')) };
const site = createSite({ seed: 7, nodes: 3, startMs: START_MS, endMs: END_MS });
const nodeAt = (index: number) => {
  const node = site.fleet[index];
  if (node === undefined) throw new Error('no such node');
  return node;
};
/** Five moments, some of them with a sick device. */
const MOMENTS = [1, 13.5, 29.4, 31, 59].map((hours) => START_MS + Math.round(hours * HOUR_MS) + 4321);

describe.each(site.fleet.map((node, index) => ({ name: node.name, index })))('$name', ({ index }) => {
  const node = nodeAt(index);
  const view = createNodeView(node);
  const clock = createVirtualClock(START_MS);
  const ports = createSimulatedPorts(node, clock, offline);
  const config = {
    nvidiaSmi: SIMULATED_PATHS.nvidiaSmi,
    procRoot: SIMULATED_PATHS.procRoot,
    passwdPath: SIMULATED_PATHS.passwd,
  };

  test.each(MOMENTS)('a poll at %i reads the state of the devices', async (atMs) => {
    clock.set(atMs);
    const state = view.at(atMs);
    const inventory = await readInventory(ports, config);
    expect(inventory).toMatchObject({ failure: null, problems: [], driverVersion: node.driverVersion });
    expect(inventory.devices?.map(({ uuid, index: at, minor, model }) => [uuid, at, minor, model])).toEqual(
      node.devices.map(({ uuid, index: at, minor, model }) => [uuid, at, minor, model.name]),
    );
    const reading = await createDevicePoller(ports, config).poll(inventory.devices ?? []);
    expect(reading.devices).toHaveLength(8);
    for (const [at, device] of reading.devices.entries()) {
      const truth = state.devices[at];
      if (truth?.fault === 'requires_reset') {
        expect(device).toMatchObject({ ok: false, reason: 'device_error' });
        continue;
      }
      expect(device).toMatchObject({
        ok: true,
        utilisationPercent: truth?.utilisationPercent,
        memoryUsedBytes: (truth?.memoryUsedMiB ?? 0) * 1_048_576,
      });
      if (!device.ok) continue;
      expect(
        device.processes.map(({ pid, smPercent, memoryBytes }) => [pid, smPercent, memoryBytes]),
      ).toEqual(
        truth?.tenants.map(({ process, smPercent, use }) => [
          process.pid,
          smPercent === 0 ? null : smPercent,
          use.memoryMiB * 1_048_576,
        ]),
      );
    }
  });

  test('its processes are identified with everything that ties them to their job', () => {
    const busiest = MOMENTS.map((atMs) => ({
      atMs,
      tenants: view.at(atMs).devices.reduce((sum, device) => sum + device.tenants.length, 0),
    })).sort((a, b) => b.tenants - a.tenants)[0];
    const atMs = busiest?.atMs ?? START_MS;
    clock.set(atMs);
    const state = view.at(atMs);
    const tenants = state.devices.flatMap((device) => device.tenants.map(({ process }) => process));
    expect(tenants.length).toBeGreaterThan(0);
    const table = createProcessTable(ports, config);
    expect(table.bootId()).toBe(node.bootId);
    const keys = table.observe(
      tenants.map(({ pid }) => pid),
      atMs,
    );
    const facts = new Map(table.changedFacts().facts.map((fact) => [fact.key, fact]));
    for (const process of tenants) {
      const fact = facts.get(keys.get(process.pid) ?? '');
      const image = latest(process.images, atMs);
      expect(fact).toMatchObject({
        key: `${process.pid}/${startTicks(node, process)}`,
        uid: process.uid,
        comm: image.comm,
        executable: { path: image.exePath, inode: image.exeInode, deleted: false, fileSystem: typeOf(image) },
        unreadable: [],
      });
      expect(cgroupOwner(fact?.cgroup ?? '')).toEqual(cgroupOwner(latest(process.cgroups, atMs).text));
      expect(fact?.parent).toMatch(new RegExp(`^${state.alive.has(process.ppid) ? process.ppid : 1}/`));
    }
  });
});

const typeOf = ({ exeDevice }: { readonly exeDevice: string }): string | undefined =>
  Object.entries(FILE_SYSTEMS).find(([, { device }]) => device === exeDevice)?.[0];

test('the list names every device once, in order', () => {
  const state = createNodeView(nodeAt(0)).at(START_MS);
  const { devices } = parseList(renderNvidiaSmi(state, ['-L']).stdout);
  expect(devices.map(({ uuid }) => uuid)).toEqual(nodeAt(0).devices.map(({ uuid }) => uuid));
});

test('an unknown field fails the whole query, as the real tool does', () => {
  const state = createNodeView(nodeAt(0)).at(START_MS);
  const printed = renderNvidiaSmi(state, ['--query-gpu=uuid,warp.factor', '--format=csv']);
  expect(printed).toEqual({
    stdout: 'Field "warp.factor" is not a valid field to query.\n\n',
    exitCode: 2,
    hang: false,
  });
});

describe('a folder of /proc', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-proc-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('holds the same bytes as the renderer, and forgets who ended', () => {
    const node = nodeAt(0);
    const view = createNodeView(node);
    const proc = createProcFolder(folder);
    const earlier = view.at(START_MS + 20 * HOUR_MS);
    proc.update(earlier);
    const pids = (): number[] =>
      readdirSync(folder)
        .map(Number)
        .filter(Number.isInteger)
        .sort((a, b) => a - b);
    expect(pids()).toEqual([...earlier.alive.keys()].sort((a, b) => a - b));
    const worker = earlier.devices.flatMap((device) => device.tenants)[0]?.process;
    if (worker === undefined) throw new Error('nobody computes then');
    expect(readFileSync(join(folder, String(worker.pid), 'cgroup'), 'utf8')).toBe(worker.cgroups[0]?.text);
    expect(readlinkSync(join(folder, String(worker.pid), 'exe'))).toBe(worker.images[0]?.exePath);
    const before = statSync(join(folder, '1', 'stat')).ino;

    const later = view.at(START_MS + 50 * HOUR_MS);
    proc.update(later);
    expect(pids()).toEqual([...later.alive.keys()].sort((a, b) => a - b));
    // What did not change is not written again.
    expect(statSync(join(folder, '1', 'stat')).ino).toBe(before);
  });
});

test('the same seed makes the same site', () => {
  const again = createSite({ seed: 7, nodes: 3, startMs: START_MS, endMs: END_MS });
  expect(JSON.stringify([again.fleet, again.jobs.map(({ externalId }) => externalId)])).toBe(
    JSON.stringify([site.fleet, site.jobs.map(({ externalId }) => externalId)]),
  );
  const other = createSite({ seed: 8, nodes: 3, startMs: START_MS, endMs: END_MS });
  expect(JSON.stringify(other.fleet)).not.toBe(JSON.stringify(site.fleet));
});
