/**
 * The agent's settings: flags before environment before file before default. One message for each wrong one. A setting
 * that cannot be honoured is an error and is never passed over.
 */
import { z } from 'zod';
import { WINDOW_MS } from '../api/contract/batch.ts';
import type { AgentConfig } from './agent.ts';
import { defaultNodeName } from './identity.ts';
import { parseSettingsFile } from './settings-file.ts';
import { INTERNAL_RANGES } from './sources/sockets.ts';

const MIB = 1024 * 1024;
const LOG_FORMS = ['text', 'json'] as const;
export type LogForm = (typeof LOG_FORMS)[number];

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
const MEBIBYTES = 'must be a whole number of MiB from 1 to 1048576';

const Settings = z.object({
  api: z
    .url({
      protocol: /^https?$/,
      error: 'must be the address of the service, such as http://ledger:8470',
    })
    .optional(),
  cluster: name.default('main'),
  node: name.default(defaultNodeName()),
  tokenFile: path.optional(),
  spool: path.default('/var/lib/gpuledger-agent'),
  spoolMib: z.coerce
    .number(MEBIBYTES)
    .int(MEBIBYTES)
    .min(1, MEBIBYTES)
    .max(1024 * 1024, MEBIBYTES)
    .default(256),
  poll: seconds(1, 60).default(5),
  ship: seconds(2, 3600).optional(),
  inventory: seconds(10, 86_400).default(600),
  nvidiaSmi: path.default('nvidia-smi'),
  proc: path.default('/proc'),
  passwd: path.default('/etc/passwd'),
  podResources: path.default('/var/lib/kubelet/pod-resources/kubelet.sock'),
  internalRange: z
    .array(z.union([z.cidrv4(), z.cidrv6()], 'must be a network such as 10.0.0.0/8'))
    .max(64, 'must be at most 64 networks')
    .default([]),
  secretOption: z
    .array(
      z.string().regex(/^-{0,2}[A-Za-z][\w.-]{0,127}$/, 'must be the name of an option, such as --licence'),
    )
    .max(64, 'must be at most 64 names')
    .default([]),
  log: z.enum(LOG_FORMS, `must be ${LOG_FORMS.join(' or ')}`).default('text'),
});
type Name = keyof z.input<typeof Settings>;
/** What is seen is told within two polls. */
const SHIP_POLLS = 2;

/** Flag of each setting, and its key in the environment and in a file. */
const SETTINGS: Readonly<Record<Name, { flag: string; key: string }>> = {
  api: { flag: '--api', key: 'GPULEDGER_URL' },
  cluster: { flag: '--cluster', key: 'GPULEDGER_CLUSTER' },
  node: { flag: '--node', key: 'GPULEDGER_NODE' },
  tokenFile: { flag: '--token-file', key: 'GPULEDGER_TOKEN_FILE' },
  spool: { flag: '--spool', key: 'GPULEDGER_SPOOL' },
  spoolMib: { flag: '--spool-mib', key: 'GPULEDGER_SPOOL_MIB' },
  poll: { flag: '--poll', key: 'GPULEDGER_POLL' },
  ship: { flag: '--ship', key: 'GPULEDGER_SHIP' },
  inventory: { flag: '--inventory', key: 'GPULEDGER_INVENTORY' },
  nvidiaSmi: { flag: '--nvidia-smi', key: 'GPULEDGER_NVIDIA_SMI' },
  proc: { flag: '--proc', key: 'GPULEDGER_PROC' },
  passwd: { flag: '--passwd', key: 'GPULEDGER_PASSWD' },
  podResources: { flag: '--pod-resources', key: 'GPULEDGER_POD_RESOURCES' },
  internalRange: { flag: '--internal-range', key: 'GPULEDGER_INTERNAL_RANGES' },
  secretOption: { flag: '--secret-option', key: 'GPULEDGER_SECRET_OPTIONS' },
  log: { flag: '--log', key: 'GPULEDGER_LOG' },
};
/** Several values in one variable: between spaces or commas. */
const LISTS: ReadonlySet<string> = new Set(['internalRange', 'secretOption'] satisfies Name[]);
const TOKEN_KEY = 'GPULEDGER_TOKEN';
const CONFIG_KEY = 'GPULEDGER_CONFIG';
const REFUSED = new Map([
  [TOKEN_KEY, 'does not belong in this file: put the token into a file of its own (GPULEDGER_TOKEN_FILE)'],
  [CONFIG_KEY, 'does not belong in this file: one file names no other'],
]);

/** Some settings are wrong; one line for each in the message. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

export interface AgentSettings {
  readonly agent: AgentConfig;
  /** null: none was given, and nothing can be sent. */
  readonly api: string | null;
  /** null: the token is in GPULEDGER_TOKEN. */
  readonly tokenFile: string | null;
  readonly log: LogForm;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `flags`: values by setting, absent where not given; `config` names the file, which `readFile` reads. Throws
 * `ConfigError`.
 */
export function readConfig(
  flags: Readonly<Record<string, unknown>>,
  environment: Environment,
  readFile: (path: string) => string = () => '',
): AgentSettings {
  if (flags['config'] === '') throw new ConfigError('--config: must name a file');
  const file = fileOf(flags['config'] ?? environment[CONFIG_KEY], readFile);
  const given: Record<string, unknown> = {};
  for (const [setting, { key }] of Object.entries(SETTINGS)) {
    // A token in the environment stands before a file that only the settings file names.
    const hidden = setting === 'tokenFile' && (environment[TOKEN_KEY] ?? '') !== '';
    const text = environment[key] || (hidden ? undefined : file.get(key));
    const written = LISTS.has(setting) ? text?.split(/[\s,]+/).filter(Boolean) : text;
    const value = flags[setting] ?? (written === '' ? undefined : written);
    if (value !== undefined) given[setting] = value;
  }
  const parsed = Settings.safeParse(given);
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(describe).join('\n'));
  const settings = parsed.data;
  const pollIntervalMs = Math.round(settings.poll * 1000);
  return {
    api: settings.api ?? null,
    tokenFile: settings.tokenFile ?? null,
    log: settings.log,
    agent: {
      cluster: settings.cluster,
      node: settings.node,
      spoolFolder: settings.spool,
      spoolMaxBytes: settings.spoolMib * MIB,
      pollIntervalMs,
      shipIntervalMs: Math.round((settings.ship ?? SHIP_POLLS * settings.poll) * 1000),
      windowMs: Math.max(WINDOW_MS, pollIntervalMs),
      nvidiaSmi: settings.nvidiaSmi,
      procRoot: settings.proc,
      passwdPath: settings.passwd,
      podResources: settings.podResources,
      inventoryIntervalMs: Math.round(settings.inventory * 1000),
      internalRanges: [...INTERNAL_RANGES, ...settings.internalRange],
      secretOptions: settings.secretOption,
    },
  };
}

/** The address, for commands that cannot do without. Throws `ConfigError`. */
export function requireApi({ api }: AgentSettings): string {
  if (api !== null) return api;
  throw new ConfigError(
    `${SETTINGS.api.flag} (or ${SETTINGS.api.key}): must be the address of the service, such as http://ledger:8470`,
  );
}

function fileOf(file: unknown, readFile: (path: string) => string): ReadonlyMap<string, string> {
  if (typeof file !== 'string' || file === '') return new Map();
  let text: string;
  try {
    text = readFile(file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`--config (or ${CONFIG_KEY}): ${file} cannot be read: ${why}`);
  }
  const known = new Set(Object.values(SETTINGS).map(({ key }) => key));
  const { values, problems } = parseSettingsFile(text, known, REFUSED);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${file}, ${problem}`).join('\n'));
  return values;
}

function describe({ path: [setting], message }: z.core.$ZodIssue): string {
  const known = Object.entries(SETTINGS).find(([one]) => one === setting)?.[1];
  return known === undefined ? message : `${known.flag} (or ${known.key}): ${message}`;
}
