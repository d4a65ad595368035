/**
 * The machine itself, through systeminformation: for inventory at a slow pace, never for a verdict. The library is
 * loaded at the first call, so that an agent that does not ask does not pay for it.
 */
import type { AgentClock } from '../ports.ts';
import { isUnknown, type Value } from '../reading.ts';

const TIMEOUT_MS = 10_000;
const TEXT_CHARS = 253;

export interface HostFacts {
  readonly hostname: Value<string>;
  /** Distribution and release, such as "Debian GNU/Linux 12". */
  readonly os: Value<string>;
  readonly kernel: Value<string>;
  readonly cpuModel: Value<string>;
  /** Logical processors. */
  readonly cpuCount: Value<number>;
  readonly memoryBytes: Value<number>;
}

/** The part of systeminformation that is asked. */
export interface HostLibrary {
  osInfo(): Promise<{ hostname: string; distro: string; release: string; kernel: string }>;
  cpu(): Promise<{ manufacturer: string; brand: string; cores: number }>;
  mem(): Promise<{ total: number }>;
}

/** Never rejects: what fails or takes longer than ten seconds is unknown, with the reason. */
export async function readHost(
  clock: Pick<AgentClock, 'sleep'>,
  load: () => Promise<HostLibrary> = () => import('systeminformation'),
): Promise<HostFacts> {
  const done = new AbortController();
  const late = clock.sleep(TIMEOUT_MS, done.signal).then(
    () => ({ unknown: `no answer within ${TIMEOUT_MS} ms` }),
    () => ({ unknown: 'stopped' }),
  );
  const ask = <T>(question: (library: HostLibrary) => Promise<T>): Promise<Value<T>> =>
    Promise.race([
      load()
        .then(question)
        .catch((error: unknown) => ({ unknown: messageOf(error) })),
      late,
    ]);
  const [os, cpu, memory] = await Promise.all([
    ask((library) => library.osInfo()),
    ask((library) => library.cpu()),
    ask((library) => library.mem()),
  ]);
  done.abort();
  return {
    hostname: pick(os, (info) => text(info.hostname)),
    os: pick(os, (info) => text(`${info.distro} ${info.release}`)),
    kernel: pick(os, (info) => text(info.kernel)),
    cpuModel: pick(cpu, (info) => text(`${info.manufacturer} ${info.brand}`)),
    cpuCount: pick(cpu, (info) => count(info.cores)),
    memoryBytes: pick(memory, (info) => count(info.total)),
  };
}

function pick<T, U>(value: Value<T>, choose: (known: T) => Value<U>): Value<U> {
  return isUnknown(value) ? value : choose(value);
}

function text(value: string): Value<string> {
  const trimmed = value.trim().slice(0, TEXT_CHARS);
  return trimmed === '' ? { unknown: 'empty' } : trimmed;
}

/** The library says 0 for what it could not find; no machine has that. */
function count(value: number): Value<number> {
  return Number.isSafeInteger(value) && value > 0 ? value : { unknown: 'not a positive whole number' };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, TEXT_CHARS) : 'failed';
}
