/**
 * What really happened on simulated devices, from the model alone: an oracle that shares no code with the product.
 * Second by second, a device's time goes to the processes that execute by their shares; what is left is reserved when a
 * job holds the device, resident when somebody undeclared sits on it, else idle. Sick devices and absent agents: unobserved.
 */
import { type SimNode, within } from './model.ts';
import { createNodeView, type DeviceState } from './snapshot.ts';
import type { SimJob } from './workload.ts';

export interface Buckets {
  used: number;
  held: number;
  unaccounted: number;
  idle: number;
  unobserved: number;
}

const STEP_MS = 1000;
const PERCENT_MS = STEP_MS / 100;

/** Milliseconds by device index, within [fromMs, toMs), which should be whole seconds. */
export function truthOf(node: SimNode, jobs: readonly SimJob[], fromMs: number, toMs: number): Buckets[] {
  const view = createNodeView(node);
  const sums = node.devices.map(() => ({ used: 0, held: 0, unaccounted: 0, idle: 0, unobserved: 0 }));
  const holders = jobs.flatMap((job) =>
    job.placements
      .filter((placement) => placement.node === node)
      .map(({ devices }) => ({ devices, fromMs: job.startMs, toMs: job.endMs })),
  );
  for (let atMs = fromMs; atMs < toMs; atMs += STEP_MS) {
    const off = node.agentOff.some((span) => within(span, atMs));
    const state = view.at(atMs);
    for (const [index, device] of state.devices.entries()) {
      const sum = sums[index];
      if (sum === undefined) continue;
      if (off || device.fault !== null) sum.unobserved += STEP_MS;
      else {
        const held = holders.some((holder) => holder.devices.includes(index) && within(holder, atMs));
        addSecond(sum, device, held, atMs);
      }
    }
  }
  return sums;
}

function addSecond(sum: Buckets, device: DeviceState, held: boolean, atMs: number): void {
  let left = STEP_MS;
  let strangers = false;
  for (const { process, smPercent } of device.actual) {
    const cover = process.cover;
    const declared = cover !== null && (cover.toMs === null || atMs < cover.toMs);
    const activeMs = smPercent * PERCENT_MS;
    sum[declared ? 'used' : 'unaccounted'] += activeMs;
    strangers ||= !declared;
    left -= activeMs;
  }
  sum[held ? 'held' : strangers ? 'unaccounted' : 'idle'] += left;
}
