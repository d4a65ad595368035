/**
 * The machine itself, through systeminformation: for inventory at a slow pace, never for a verdict. The library takes
 * memory, can take seconds, and can die with an error that nobody can catch, so that only `host-program.ts` asks it,
 * in a process of its own.
 */
import type { HostFact } from '../../api/contract/batch.ts';
import type { AgentClock } from '../ports.ts';

const TIMEOUT_MS = 10_000;
const TEXT_CHARS = 253;

/** The part of systeminformation that is asked. */
export interface HostLibrary {
  osInfo(): Promise<{ distro: string; release: string; kernel: string }>;
  cpu(): Promise<{ manufacturer: string; brand: string; cores: number }>;
  mem(): Promise<{ total: number }>;
  system(): Promise<{ virtual: boolean; virtualHost?: string }>;
  processes(): Promise<{ all: number }>;
}
type Load = () => Promise<HostLibrary>;

const loadLibrary: Load = () => import('systeminformation');

/** Never rejects: what fails or takes longer than ten seconds is null. */
export async function readHost(
  clock: Pick<AgentClock, 'sleep'>,
  load: Load = loadLibrary,
): Promise<HostFact> {
  const [os, cpu, memory, system] = await Promise.all([
    ask(clock, load, (library) => library.osInfo()),
    ask(clock, load, (library) => library.cpu()),
    ask(clock, load, (library) => library.mem()),
    ask(clock, load, (library) => library.system()),
  ]);
  return {
    operatingSystem: os === null ? null : text(`${os.distro} ${os.release}`),
    kernel: os === null ? null : text(os.kernel),
    processor: cpu === null ? null : text(`${cpu.manufacturer} ${cpu.brand}`),
    cores: cpu === null ? null : count(cpu.cores),
    memoryBytes: memory === null ? null : count(memory.total),
    virtualisation: system?.virtual === true ? (text(system.virtualHost ?? '') ?? 'unknown') : null,
  };
}

/** How many processes the library lists; null where it fails. It fails silently too: then this is 0. */
export async function countProcesses(
  clock: Pick<AgentClock, 'sleep'>,
  load: Load = loadLibrary,
): Promise<number | null> {
  const processes = await ask(clock, load, (library) => library.processes());
  return processes !== null && Number.isSafeInteger(processes.all) ? processes.all : null;
}

async function ask<T>(
  clock: Pick<AgentClock, 'sleep'>,
  load: Load,
  question: (library: HostLibrary) => Promise<T>,
): Promise<T | null> {
  const done = new AbortController();
  const answer = load()
    .then(question)
    .catch(() => null);
  const late = clock.sleep(TIMEOUT_MS, done.signal).then(() => null);
  try {
    return await Promise.race([answer, late]);
  } finally {
    done.abort();
  }
}

/** What it found as one line of harmless text. */
function text(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const plain = value
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, TEXT_CHARS);
  return plain === '' ? null : plain;
}

/** The library says 0 for what it could not find; no machine has that. */
function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null;
}
