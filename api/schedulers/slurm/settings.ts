/** How a Slurm cluster is followed: the part of the sources' file that is its own. */
import { z } from 'zod';
import { Name } from '../../contract/primitives.ts';

const Path = z.string().min(1).max(4096).startsWith('/', 'must be a path that begins with /');

const Rest = z.strictObject({
  url: z
    .string()
    .regex(/^(?:https?:\/\/[^\s]+|unix:\/[^\s]+)$/, 'must be http://HOST:PORT, https://… or unix:/PATH')
    .meta({ description: 'Where slurmrestd listens: http://HOST:PORT, or unix:/PATH of its socket' }),
  version: z
    .string()
    .regex(/^v0\.0\.\d{1,3}$/)
    .optional()
    .meta({ description: 'Default: the newest that it answers' }),
  user: Name.optional().meta({ description: 'X-SLURM-USER-NAME; default: whom the token is of' }),
  tokenFile: Path.optional().meta({ description: 'File that holds the token (JWT); read for each request' }),
  tokenEnv: z.string().max(100).default('SLURM_JWT').meta({ description: 'Variable that holds the token' }),
});

export const SlurmSettings = z.strictObject({
  cluster: Name.meta({
    description:
      'ClusterName of slurm.conf: answers of another cluster are refused, ids are unique within it',
  }),
  bin: Path.optional().meta({ description: 'Folder of squeue, sacct, scontrol and sinfo; default: by PATH' }),
  conf: Path.optional().meta({
    description: 'SLURM_CONF; default: of this process, else /etc/slurm/slurm.conf',
  }),
  rest: Rest.optional().meta({ description: 'Ask slurmrestd instead of running programs' }),
  pollSeconds: z.number().min(1).max(300).default(15),
  backfillDays: z
    .number()
    .min(0)
    .max(3660)
    .default(30)
    .meta({ description: 'How far back the first start reads accounting' }),
  accounting: z
    .boolean()
    .default(true)
    .meta({ description: 'false: this cluster keeps no accounting, and what ran unseen is not known' }),
  windowHours: z
    .number()
    .positive()
    .max(24 * 31)
    .default(24)
    .meta({ description: 'Of how much time accounting is asked at once, at most' }),
  account: Name.default('none').meta({ description: 'For which account jobs without one are declared' }),
  indices: z
    .enum(['minor', 'none'])
    .default('minor')
    .meta({
      description:
        "What Slurm's GPU indices are: the devices' minor numbers (File=/dev/nvidia[0-7] in gres.conf), or none " +
        '(another order): then jobs are declared by how many devices they have, and placed by where they run',
    }),
  shortNodeNames: z
    .boolean()
    .default(false)
    .meta({ description: 'Declare node1 where Slurm says node1.example.org' }),
});
export type SlurmSettings = z.output<typeof SlurmSettings>;
