/** The agent's settings: from flags, else from the environment, else by default. One message for each wrong field. */
import { z } from 'zod';
import { WINDOW_MS } from '../api/contract/batch.ts';
import type { AgentConfig } from './agent.ts';
import { defaultNodeName } from './identity.ts';
import { INTERNAL_RANGES } from './sources/sockets.ts';

const MIB = 1024 * 1024;

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/,
    'must be 1 to 253 letters, digits, dots, dashes or underscores',
  );
const path = z.string().min(1, 'must name a path').max(4096);
const seconds = (least: number, most: number) =>
  z.coerce
    .number(`must be a number of seconds from ${least} to ${most}`)
    .min(least, `must be from ${least} to ${most} seconds`)
    .max(most, `must be from ${least} to ${most} seconds`);

const Settings = z.object({
  api: z.url({
    protocol: /^https?$/,
    error: 'must be the address of the service, such as http://ledger:8470',
  }),
  cluster: name.default('main'),
  node: name.default(defaultNodeName()),
  tokenFile: path.optional(),
  spool: path.default('/var/lib/gpuledger-agent'),
  spoolMib: z.coerce
    .number()
    .int()
    .min(1)
    .max(1024 * 1024)
    .default(256),
  poll: seconds(1, 60).default(5),
  ship: seconds(5, 3600).default(30),
  inventory: seconds(10, 86_400).default(600),
  nvidiaSmi: path.default('nvidia-smi'),
  proc: path.default('/proc'),
  passwd: path.default('/etc/passwd'),
  internalRange: z
    .array(z.union([z.cidrv4(), z.cidrv6()], 'must be a network such as 10.0.0.0/8'))
    .max(64)
    .default([]),
});

/** Flag of each setting and the variable that stands in for it. */
const SETTINGS: Readonly<Record<keyof z.input<typeof Settings>, { flag: string; variable: string | null }>> =
  {
    api: { flag: '--api', variable: 'GPULEDGER_URL' },
    cluster: { flag: '--cluster', variable: 'GPULEDGER_CLUSTER' },
    node: { flag: '--node', variable: 'GPULEDGER_NODE' },
    tokenFile: { flag: '--token-file', variable: 'GPULEDGER_TOKEN_FILE' },
    spool: { flag: '--spool', variable: 'GPULEDGER_SPOOL' },
    spoolMib: { flag: '--spool-mib', variable: null },
    poll: { flag: '--poll', variable: 'GPULEDGER_POLL' },
    ship: { flag: '--ship', variable: null },
    inventory: { flag: '--inventory', variable: null },
    nvidiaSmi: { flag: '--nvidia-smi', variable: 'GPULEDGER_NVIDIA_SMI' },
    proc: { flag: '--proc', variable: null },
    passwd: { flag: '--passwd', variable: null },
    internalRange: { flag: '--internal-range', variable: null },
  };

/** Some settings are wrong; one line for each in the message. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

export interface RunConfig {
  readonly agent: AgentConfig;
  readonly api: string;
  /** null: the token is in GPULEDGER_TOKEN. */
  readonly tokenFile: string | null;
}

/** `flags`: values by setting, absent where not given. Throws `ConfigError`. */
export function readConfig(
  flags: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
): RunConfig {
  const given: Record<string, unknown> = {};
  for (const [setting, { variable }] of Object.entries(SETTINGS)) {
    const value = flags[setting] ?? (variable === null ? undefined : environment[variable]);
    if (value !== undefined && value !== '') given[setting] = value;
  }
  const parsed = Settings.safeParse(given);
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(describe).join('\n'));
  const settings = parsed.data;
  const pollIntervalMs = Math.round(settings.poll * 1000);
  return {
    api: settings.api,
    tokenFile: settings.tokenFile ?? null,
    agent: {
      cluster: settings.cluster,
      node: settings.node,
      spoolFolder: settings.spool,
      spoolMaxBytes: settings.spoolMib * MIB,
      pollIntervalMs,
      shipIntervalMs: Math.round(settings.ship * 1000),
      windowMs: Math.max(WINDOW_MS, pollIntervalMs),
      nvidiaSmi: settings.nvidiaSmi,
      procRoot: settings.proc,
      passwdPath: settings.passwd,
      inventoryIntervalMs: Math.round(settings.inventory * 1000),
      internalRanges: [...INTERNAL_RANGES, ...settings.internalRange],
    },
  };
}

function describe({ path: [setting], message }: z.core.$ZodIssue): string {
  const known = Object.entries(SETTINGS).find(([one]) => one === setting)?.[1];
  if (known === undefined) return message;
  return `${known.flag}${known.variable === null ? '' : ` (or ${known.variable})`}: ${message}`;
}
