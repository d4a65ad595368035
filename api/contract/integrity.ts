import { z } from 'zod';
import { TOOL_ROLES } from './batch.ts';
import { NodeOut } from './fleet.ts';
import { Ms, Time } from './primitives.ts';
import { CONDITIONS } from './sources.ts';

const ToolRole = z.enum(TOOL_ROLES);
export const ToolOut = z
  .object({
    role: ToolRole,
    path: z.string().meta({ description: 'After links have been followed' }),
    device: z.string().nullable(),
    inode: z.string().nullable(),
    ownerUid: z.int().nullable(),
    sizeBytes: z.int().nullable(),
    sha256: z.string().nullable().meta({ description: 'null: it could not be read' }),
    version: z.string().nullable().meta({ description: 'As the name of the file gives it' }),
  })
  .meta({ id: 'Tool', description: 'A file through which the GPUs of a node are read' });
export type ToolOut = z.infer<typeof ToolOut>;

const HostOut = z
  .object({
    operatingSystem: z.string().nullable(),
    kernel: z.string().nullable(),
    processor: z.string().nullable(),
    cores: z.int().nullable(),
    memoryBytes: z.int().nullable(),
    virtualisation: z.string().nullable().meta({ description: 'null: on hardware, or not known' }),
  })
  .meta({ id: 'Host' });

const ConditionOut = z.object({
  source: z.string(),
  sourceInstance: z.string(),
  condition: z.enum(CONDITIONS),
  from: Time,
  to: Time.nullable().meta({ description: 'null: still so' }),
  reason: z.string(),
});

export const NodeDetail = NodeOut.extend({
  tools: z.array(ToolOut).nullable().meta({ description: 'null: its agent never listed them' }),
  toolsListedAt: Time.nullable(),
  conditions: z
    .array(ConditionOut)
    .meta({ description: 'What schedulers say of it, newest first, at most 50' }),
  reasons: z
    .array(z.object({ bucket: z.enum(['idle', 'unobserved']), condition: z.enum(CONDITIONS), ms: Ms }))
    .meta({
      description:
        'Of its idle and not measured time of the last 24 hours: what a scheduler gives a reason for',
    }),
  host: HostOut.nullable().meta({ description: 'null: its agent never described it' }),
}).meta({ id: 'NodeDetail' });
export type NodeDetail = z.infer<typeof NodeDetail>;

/** How many nodes, and the first of them by name. */
const Named = z.object({ nodes: z.int(), names: z.array(z.string()) });

const Variant = z.object({
  files: z
    .array(z.object({ sha256: z.string().nullable(), version: z.string().nullable() }))
    .meta({ description: 'Empty: none of this role was found' }),
  usual: z.boolean().meta({ description: 'More than half of the nodes of the group have it' }),
  ...Named.shape,
});
export type ToolVariant = z.infer<typeof Variant>;

/** GET /v1/integrity: which files the nodes of each driver version read their GPUs with, and who differs. */
export const FleetIntegrity = z
  .object({
    ok: z.boolean().meta({
      description: 'No node of a known driver version differs from the others, and none lacks libnvidia-ml',
    }),
    nodes: z.int().meta({ description: 'Nodes with GPUs whose agents have listed these files' }),
    groups: z
      .array(
        z.object({
          role: ToolRole,
          driverVersion: z.string().nullable(),
          nodes: z.int(),
          variants: z.array(Variant).meta({ description: 'The most frequent first, at most 20' }),
        }),
      )
      .meta({ description: 'By role and driver version, at most 100' }),
    differing: z
      .object({
        nodes: z.int(),
        items: z.array(z.object({ node: z.string(), role: ToolRole, driverVersion: z.string() })),
      })
      .meta({
        description:
          'Nodes that have other files than more than half of those with the same driver; at most 200 items',
      }),
    withoutLibrary: Named.meta({ description: 'Nodes with a driver on which no libnvidia-ml was found' }),
    unlisted: Named.meta({ description: 'Nodes with GPUs whose agents never listed these files' }),
  })
  .meta({ id: 'FleetIntegrity' });
export type FleetIntegrity = z.infer<typeof FleetIntegrity>;
