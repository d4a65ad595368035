import { z } from 'zod';
import { BATCH_PATTERNS } from './batch-schema.ts';
import { Name, Time } from './primitives.ts';

export const NodeKeyOut = z
  .object({
    node: z.string(),
    key: z.string().meta({ description: 'Ed25519 public key: 32 bytes in hexadecimal' }),
    first: z.boolean().meta({ description: "The node's first key, taken on its word" }),
    firstUsed: Time.meta({ description: 'The start of the first batch that it signed' }),
    recorded: Time,
    recordedBy: z.string().meta({ description: 'The token that it came with' }),
    accepted: z.object({ by: z.string(), at: Time }).nullable(),
    waiting: z.boolean().meta({ description: 'Not the first one, and nobody has accepted it' }),
  })
  .meta({ id: 'NodeKey', description: 'A key by which a node signs what it sends' });
export type NodeKeyOut = z.infer<typeof NodeKeyOut>;

/** GET /v1/keys */
export const NodeKeysQuery = z.object({
  node: Name.optional(),
  waiting: z
    .enum(['true', 'false'])
    .optional()
    .meta({ description: 'true: only those that nobody has accepted' }),
});
export const NodeKeyList = z
  .object({
    keys: z.int().meta({ description: 'How many there are' }),
    items: z
      .array(NodeKeyOut)
      .meta({ description: 'By node, in the order in which they came; at most 2,000' }),
  })
  .meta({ id: 'NodeKeyList' });
export type NodeKeyList = z.infer<typeof NodeKeyList>;

/** PUT /v1/nodes/{name}/keys/{key}: somebody knows why the node signs by it. */
export const NodeKeyPath = z.object({ name: Name, key: z.string().regex(BATCH_PATTERNS.hash) });
export const NodeKeyIn = z.strictObject({ accepted: z.literal(true) }).meta({ id: 'NodeKeyInput' });
