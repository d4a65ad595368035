/** What a site says of a Ray cluster that is followed. */
import { z } from 'zod';
import { Name } from '../../contract/primitives.ts';

export const RaySettings = z.strictObject({
  instance: Name.default('default').meta({
    description: 'Which cluster it is: job ids are unique within it',
  }),
  url: z
    .url({ protocol: /^https?$/, error: 'must be the address of the dashboard, such as http://head:8265' })
    .meta({ description: 'Address of the dashboard, such as http://head:8265' }),
  tokenFile: z.string().min(1).max(4096).optional().meta({
    description: 'File with the token that a dashboard or the proxy before it asks for',
  }),
  account: Name.meta({
    description: 'Its jobs are declared for this account: the one of the job that Ray runs in',
  }),
  user: Name.optional().meta({ description: 'The OS account that Ray runs as. Default: none is stated' }),
  within: z
    .strictObject({ source: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/), externalId: Name })
    .optional()
    .meta({
      description:
        'The job that Ray runs in. Default: found by account and user, so that Ray can lie in many jobs or pods',
    }),
  pollSeconds: z.number().min(1).max(3600).default(15),
  sandboxNamespaces: z.array(Name).max(32).default(['xrl-sandbox', 'rock-sandbox-local']).meta({
    description: 'Namespaces whose actors only run sandboxes: what uses a GPU for their jobs is marked',
  }),
});
export type RaySettings = z.output<typeof RaySettings>;
