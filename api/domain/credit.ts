// Whose active time is: where the driver lists a go-between beside those that it works for, its share is theirs.
import { apportion } from './apportion.ts';
import { at } from './at.ts';
import type { ObservedProcess, ObservedSpan, ObservedTenant, ProcessId } from './cell.ts';
import { inTenantOrder } from './cutter.ts';
import { baseName, executablePath } from './process.ts';

/** Executes for the clients of a device (MPS): on old GPUs under its own name, since Volta only as their go-between. */
const MPS_SERVER = 'nvidia-cuda-mps-server';

type Tenants = readonly ObservedTenant[];
const isClient = (tenant: ObservedTenant): boolean => tenant.type === 'M+C' || tenant.type.startsWith('M+C+');
const onlyDraws = (tenant: ObservedTenant): boolean => tenant.type === 'G';
const computes = (tenant: ObservedTenant): boolean => tenant.type.split('+').includes('C');

/**
 * A span whose tenants have what they executed themselves; its own active time stays.
 *
 * - The MPS server of a device (or instance) that has clients is none of its tenants: its share goes to them, by theirs.
 *   A name can be taken, and there is one server at a time: where two programs are called so, neither is believed.
 * - Where nothing was sampled and shares are equal, contexts that only draw ("G") give theirs to those that compute.
 */
export function creditSpan(
  span: ObservedSpan,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
): ObservedSpan {
  const given = span.tenants;
  if (given.length < 2) return span;
  let tenants: Tenants = given;
  if (given.some(isClient)) tenants = withoutServers(tenants, processes);
  if (span.method === 'equal' && tenants.some(onlyDraws) && tenants.some(computes))
    tenants = handOver(tenants.toSorted(inTenantOrder), onlyDraws, computes, () => 1);
  return tenants === given ? span : { ...span, tenants };
}

function withoutServers(tenants: Tenants, processes: ReadonlyMap<ProcessId, ObservedProcess>): Tenants {
  const isServer = ({ process }: ObservedTenant): boolean => {
    const executable = processes.get(process)?.executable ?? null;
    return executable !== null && baseName(executablePath(executable)) === MPS_SERVER;
  };
  const servers = tenants.filter(isServer);
  let left = tenants;
  for (const server of servers) {
    const beside = ({ gpuInstance }: ObservedTenant): boolean => gpuInstance === server.gpuInstance;
    const isIt = (tenant: ObservedTenant): boolean => tenant.process === server.process && beside(tenant);
    const isServed = (tenant: ObservedTenant): boolean => beside(tenant) && isClient(tenant) && !isIt(tenant);
    if (servers.filter(beside).length > 1 || !left.some(isServed)) continue;
    const share = ({ activeMs }: ObservedTenant): number => activeMs ?? 0;
    left = handOver(left.toSorted(inTenantOrder), isIt, isServed, share).filter((tenant) => !isIt(tenant));
  }
  return left;
}

/** Gives what some have to others, by weight; where all weights are 0, equally. */
function handOver(
  tenants: Tenants,
  gives: (tenant: ObservedTenant) => boolean,
  takes: (tenant: ObservedTenant) => boolean,
  weight: (tenant: ObservedTenant) => number,
): Tenants {
  const givenMs = tenants.reduce((sum, tenant) => sum + (gives(tenant) ? (tenant.activeMs ?? 0) : 0), 0);
  const weights = tenants.map((tenant) => (takes(tenant) ? weight(tenant) : 0));
  const even = weights.every((one) => one === 0);
  const parts = apportion(givenMs, even ? tenants.map((tenant) => (takes(tenant) ? 1 : 0)) : weights);
  return tenants.map((tenant, index) => {
    if (tenant.activeMs === null) return tenant;
    return { ...tenant, activeMs: (gives(tenant) ? 0 : tenant.activeMs) + at(parts, index) };
  });
}
