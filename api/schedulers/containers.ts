/**
 * Containers of one machine as a source: those that a label gives an account. Docker's API, which Podman serves too, on the
 * socket of that machine. Containers without the label stay what they are: undeclared.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as rest } from 'node:timers/promises';
import { z } from 'zod';
import { Name } from '../contract/primitives.ts';
import { attributesOf } from './attributes.ts';
import { beginningOf } from './entrypoint.ts';
import { clean, isMembers, listOf, type Members, membersAt, momentOf, textOf } from './json-values.ts';
import type { Declaration, Source, SourceCheck, SourceSink } from './source.ts';

const Label = z.string().min(1).max(253);

export const ContainersSettings = z.strictObject({
  engine: z.enum(['docker', 'podman']).default('docker').meta({
    description:
      'Whose containers: their jobs are declared under that name, and recognised by their control groups',
  }),
  instance: Name.default('default').meta({ description: 'Which machine it is, where there are several' }),
  node: Name.meta({ description: 'What the agent of this machine calls its node' }),
  socket: z.string().min(1).max(4096).default('/var/run/docker.sock').meta({
    description: "The engine's socket; Podman's is /run/podman/podman.sock",
  }),
  account: Label.default('gpuledger.account').meta({
    description: 'Label with the account; containers without it are not declared',
  }),
  user: Label.default('gpuledger.user').meta({ description: 'Label with the user' }),
  pollSeconds: z.number().min(1).max(3600).default(10),
});
export type ContainersSettings = z.output<typeof ContainersSettings>;

const SILENCE_MS = 30_000;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_CONTAINERS = 10_000;
const MAX_DEVICES = 64;
const ID = /^[0-9a-f]{64}$/;
const LAG_MS = 1_000;

export function createContainersSource(settings: ContainersSettings, nowMs: () => number): Source {
  return {
    source: settings.engine,
    instance: settings.instance,
    async follow(_sinceMs: number | null, sink: SourceSink, signal: AbortSignal): Promise<void> {
      /** What was said of each container last; null: nothing yet. */
      let said: Map<string, Declaration> | null = null;
      while (!signal.aborted) {
        said = await look(settings, sink, said, nowMs, signal);
        await rest(settings.pollSeconds * 1000, undefined, { signal });
      }
    },
    async check(signal: AbortSignal): Promise<readonly SourceCheck[]> {
      try {
        const list = await listed(settings, signal);
        const message = `${settings.socket} lists ${list.length} containers with the label ${settings.account}`;
        return [{ name: 'containers', ok: true, message }];
      } catch (error) {
        return [
          { name: 'containers', ok: false, message: error instanceof Error ? error.message : String(error) },
        ];
      }
    },
  };
}

/** Asks once, and declares what is new. Gives what was said of each container that is there. */
async function look(
  settings: ContainersSettings,
  sink: SourceSink,
  said: ReadonlyMap<string, Declaration> | null,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<Map<string, Declaration>> {
  const atMs = nowMs();
  const running = new Set<string>();
  const now = new Map<string, Declaration>();
  for (const row of await listed(settings, signal)) {
    const id = isMembers(row) ? textOf(row, 'Id') : null;
    if (id === null || !ID.test(id)) {
      sink.problem({ subject: null, message: 'a container has no id of 64 hexadecimal digits' });
      continue;
    }
    // Whatever cannot be told of it: it is there, and has not ended.
    running.add(id);
    let container: unknown;
    try {
      container = await ask(settings, `/containers/${id}/json`, signal);
    } catch (error) {
      // An engine that is not there ends all; one container that it cannot tell of costs that one.
      if (!(error instanceof BadAnswer)) throw error;
      sink.problem({ subject: id.slice(0, 12), message: error.message });
      const before = said?.get(id);
      if (before !== undefined) now.set(id, before);
      continue;
    }
    // Gone since it was listed.
    if (container === null) continue;
    const declaration = declarationOf(id, container, settings, (message) =>
      sink.problem({ subject: id.slice(0, 12), message }),
    );
    if (declaration === null) continue;
    if (declaration.end !== null) running.delete(id);
    const before = said?.get(id);
    // It was started again between two looks.
    if (before?.end === null && before.incarnation !== declaration.incarnation)
      await sink.declare([{ ...before, end: declaration.start }]);
    if (JSON.stringify(before) !== JSON.stringify(declaration)) await sink.declare([declaration]);
    now.set(id, declaration);
  }
  const gone = [...(said?.values() ?? [])].some(
    ({ end, externalId }) => end === null && !running.has(externalId),
  );
  if (said === null || gone) await sink.endMissing(running, atMs);
  await sink.complete(atMs - LAG_MS);
  return now;
}

async function listed(settings: ContainersSettings, signal: AbortSignal): Promise<readonly unknown[]> {
  const filters = JSON.stringify({ label: [settings.account] });
  const list = await ask(
    settings,
    `/containers/json?all=true&filters=${encodeURIComponent(filters)}`,
    signal,
  );
  if (!Array.isArray(list)) throw new Error(`${settings.socket} answers with what is no list of containers`);
  if (list.length > MAX_CONTAINERS)
    throw new Error(`${settings.socket} lists more than ${MAX_CONTAINERS} containers`);
  return list;
}

/** null: it has no account, or has not run. */
function declarationOf(
  id: string,
  container: unknown,
  settings: ContainersSettings,
  problem: (message: string) => void,
): Declaration | null {
  const [state, config, host] = ['State', 'Config', 'HostConfig'].map((part) => membersAt(container, part));
  const labels = membersAt(config, 'Labels');
  const account = clean(textOf(labels, settings.account) ?? '', 253).trim();
  if (account === '') {
    // It was listed since it has the label.
    problem(`its label ${settings.account} says nothing: it is not declared`);
    return null;
  }
  for (const message of otherForms(container, host ?? {})) problem(message);
  const startMs = begunAt(state ?? {}, 'StartedAt');
  if (startMs === null) {
    if (state?.['Running'] === true) problem('State.StartedAt is no time with a zone: it is not declared');
    return null;
  }
  const isOver = state?.['Running'] !== true && state?.['Paused'] !== true && state?.['Restarting'] !== true;
  let endMs = isOver ? begunAt(state ?? {}, 'FinishedAt') : null;
  if (isOver && (endMs === null || endMs < startMs)) {
    problem('State.FinishedAt is no time after State.StartedAt: it ends when it began');
    endMs = startMs;
  }
  const name =
    (isMembers(container) ? textOf(container, 'Name') : null)?.replace(/^\//, '') ?? id.slice(0, 12);
  const image = textOf(config ?? {}, 'Image');
  const user = clean(textOf(labels, settings.user) ?? '', 253).trim();
  const command = isMembers(container) ? [container['Path'], ...listOf(container, 'Args')] : [];
  return {
    source: settings.engine,
    sourceInstance: settings.instance,
    externalId: id,
    // It can be started again.
    incarnation: Math.floor(startMs / 1000),
    account,
    user: user === '' ? null : user,
    name: clean(name, 1024),
    start: new Date(startMs).toISOString(),
    end: endMs === null ? null : new Date(endMs).toISOString(),
    allocations: devicesOf(host ?? {}, config ?? {}, settings.node),
    boundaries: [`${settings.engine}:${id}`],
    ...(image === null ? {} : { image: clean(image, 1024) }),
    entrypoint: beginningOf(command),
    attributes: attributesOf([
      ['container', name],
      ['node', settings.node],
      ['privileged', host?.['Privileged'] === true ? 'yes' : null],
      ...Object.entries(labels).map(
        ([key, value]) => [`label:${key}`, typeof value === 'string' ? value : null] as const,
      ),
    ]),
  };
}

/** What is left out of a container since it is of another form. */
function otherForms(container: unknown, host: Members): string[] {
  const lists = ['DeviceRequests', 'Devices'].filter((name) => !Array.isArray(host[name] ?? []));
  return [
    ...(isMembers(container) && isMembers(container['State']) ? [] : ['State']),
    ...lists.map((name) => `HostConfig.${name}`),
  ].map((member) => `${member} is of another form: what it says is left out`);
}

/** What the container device interface calls its devices. */
const CDI = 'nvidia.com/gpu=';

/** "0001-01-01T00:00:00Z" stands for never. */
const begunAt = (state: Members, name: string): number | null => {
  const ms = momentOf(state, name);
  return ms === null || ms <= 0 ? null : ms;
};

type Devices = { node: string; devices?: string[]; indices?: number[]; count?: number };

/**
 * What `--gpus`, a device of the container device interface, or NVIDIA_VISIBLE_DEVICES asked for. Numbers are the order of
 * nvidia-smi, which is not that of the kernel: they say how many. Device nodes that it was given by name say which. None:
 * what it uses all the same is found.
 */
function devicesOf(host: Members, config: Members, node: string): Devices[] {
  const asked: string[] = [];
  for (const request of listOf(host, 'DeviceRequests').filter(isMembers)) {
    const ids = listOf(request, 'DeviceIDs').filter((one) => typeof one === 'string');
    const isGpu =
      JSON.stringify(request['Capabilities'] ?? null).includes('"gpu"') ||
      ids.some((one) => one.startsWith(CDI));
    if (!isGpu) continue;
    if (ids.length > 0) asked.push(...ids.map((one) => (one.startsWith(CDI) ? one.slice(CDI.length) : one)));
    else if (request['Count'] === -1) asked.push('all');
    else if (typeof request['Count'] === 'number' && Number.isSafeInteger(request['Count']))
      asked.push(
        ...Array.from({ length: Math.max(0, Math.min(MAX_DEVICES, request['Count'])) }, (_, at) =>
          String(at),
        ),
      );
  }
  if (asked.length === 0 && textOf(host, 'Runtime') === 'nvidia') {
    const variable = listOf(config, 'Env').find(
      (one) => typeof one === 'string' && one.startsWith('NVIDIA_VISIBLE_DEVICES='),
    );
    const value = typeof variable === 'string' ? variable.slice(variable.indexOf('=') + 1) : '';
    if (!['', 'none', 'void'].includes(value)) asked.push(...value.split(','));
  }
  const paths = listOf(host, 'Devices').flatMap((one) =>
    isMembers(one) ? (textOf(one, 'PathOnHost') ?? []) : [],
  );
  for (const path of paths) if (path.startsWith(CDI)) asked.push(path.slice(CDI.length));
  if (asked.includes('all')) return [{ node }];
  const minors = paths.flatMap((path) => /^\/dev\/nvidia(\d{1,4})$/.exec(path)?.[1] ?? []).map(Number);
  if (asked.length === 0 && minors.length > 0)
    return [{ node, indices: [...new Set(minors)].slice(0, MAX_DEVICES).sort((a, b) => a - b) }];
  const wanted = [...new Set(asked)].slice(0, MAX_DEVICES);
  const uuids = wanted.filter((one) => /^GPU-[0-9A-Za-z-]{8,80}$/.test(one));
  const others = wanted.length - uuids.length;
  return [
    ...(uuids.length > 0 ? [{ node, devices: uuids }] : []),
    ...(others > 0 ? [{ node, count: others }] : []),
  ];
}

/** It answered, and not with what was asked for. */
class BadAnswer extends Error {}

/** A JSON document; null: there is none of that name. Throws `BadAnswer`. */
async function ask({ socket }: ContainersSettings, path: string, signal: AbortSignal): Promise<unknown> {
  const { request: begin } = await import('node:http');
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = begin({ socketPath: socket, path, signal, headers: { host: 'localhost' } }, resolve);
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.end();
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${socket} cannot be asked: ${why}`);
  });
  if (response.statusCode === 404) {
    response.destroy();
    return null;
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    if (!Buffer.isBuffer(piece)) continue;
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES)
      throw new BadAnswer(`${socket} answers with more than ${MAX_ANSWER_BYTES} bytes`);
    pieces.push(piece);
  }
  if (response.statusCode !== 200) throw new BadAnswer(`${socket} answers with HTTP ${response.statusCode}`);
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw new BadAnswer(`${socket} answers with what is no JSON`);
  }
}
