import { z } from 'zod';
import { Sums } from './ledger.ts';
import { list, Name, PageQuery, Time } from './primitives.ts';

export const MODES = ['observe', 'shadow', 'live'] as const;

const DeviceNow = z
  .enum(['used', 'held', 'unaccounted', 'idle', 'unobserved', 'pending'])
  .meta({ description: 'Largest bucket of the newest booked minute' });
export type DeviceNow = z.infer<typeof DeviceNow>;

export const DeviceOut = z
  .object({
    uuid: z.string(),
    node: z.string(),
    index: z.int().nullable(),
    minor: z.int().nullable(),
    busId: z.string().nullable(),
    model: z.string(),
    memoryBytes: z.int().nullable(),
    migEnabled: z.boolean(),
    capacityFrom: Time,
    capacityTo: Time.nullable(),
    now: DeviceNow,
  })
  .meta({ id: 'Device' });
export type DeviceOut = z.infer<typeof DeviceOut>;

export const NodeOut = z
  .object({
    name: z.string(),
    cluster: z.string(),
    group: z.string(),
    mode: z.enum(MODES),
    enrolled: z.boolean().meta({ description: 'false: in the fleet list, never heard of' }),
    agent: z
      .object({
        version: z.string(),
        driverVersion: z.string().nullable(),
        bootId: z.string(),
        stream: z.string(),
        seq: z.int(),
        pollIntervalMs: z.int(),
        lastHeard: Time,
        completeTo: Time,
        silent: z.boolean(),
      })
      .nullable(),
    devices: z.int(),
    devicesNow: z
      .array(z.object({ uuid: z.string(), index: z.int().nullable(), now: DeviceNow }))
      .meta({ description: 'Devices whose capacity is open, by index' }),
    models: z.array(z.string()),
    last24h: Sums,
    problems: z
      .array(z.object({ at: Time, source: z.string(), message: z.string() }))
      .meta({ description: 'Newest first, at most 20' }),
  })
  .meta({ id: 'Node' });
export type NodeOut = z.infer<typeof NodeOut>;

export const NodesQuery = PageQuery.extend({ search: z.string().max(200).optional() });
export const NodeList = z
  .object({ items: z.array(NodeOut), nextCursor: z.string().nullable() })
  .meta({ id: 'NodeList' });
export const DevicesQuery = PageQuery.extend({ node: z.string().optional(), model: z.string().optional() });
export const DeviceList = z
  .object({ items: z.array(DeviceOut), nextCursor: z.string().nullable() })
  .meta({ id: 'DeviceList' });
export type NodeList = z.infer<typeof NodeList>;
export type DeviceList = z.infer<typeof DeviceList>;

/** PUT /v1/fleet and `gpuledger fleet import`: nodes and devices that a site owns, known or not. */
export const FleetIn = z
  .strictObject({
    nodes: list(
      z.strictObject({
        node: Name,
        group: Name.default('default'),
        mode: z.enum(MODES).optional(),
        from: Time.meta({ description: 'Capacity opens here' }),
        to: Time.nullable().default(null).meta({ description: 'Retired here' }),
        devices: list(
          z.strictObject({ uuid: Name, model: Name, index: z.int().min(0).max(255).optional() }),
          64,
        ),
      }),
      20_000,
    ),
    dryRun: z.boolean().default(false),
  })
  .meta({ id: 'FleetInput' });
export type FleetIn = z.infer<typeof FleetIn>;
export const FleetResult = z
  .object({
    dryRun: z.boolean(),
    changes: z.array(z.object({ node: z.string(), device: z.string().nullable(), change: z.string() })),
  })
  .meta({ id: 'FleetResult' });
export type FleetResult = z.infer<typeof FleetResult>;
