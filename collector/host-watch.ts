/** Inventory of the machine, at a slow pace and beside the polls: asked of a short-lived program of ours. */
import { fileURLToPath } from 'node:url';
import { BATCH_LIMITS, HOUR_MS, type HostFact } from '../api/contract/batch.ts';
import type { Executed, Ports } from './ports.ts';

/** After the agent's start, and then this often. */
const LOOK_INTERVAL_MS = HOUR_MS;
const TIMEOUT_MS = 30_000;
const OUTPUT_BYTES = 64 * 1024;
const PROGRAM = fileURLToPath(new URL('./host-program.ts', import.meta.url));
/** Two tables of processes agree when neither has this many times what the other has … */
const DISAGREEMENT = 2;
/** … or they differ by no more than this: processes come and go. */
const TOLERATED = 100;

export interface HostWatchSources {
  /** How many processes /proc lists; null where that is not the machine that the program looks at. */
  processes(): number | null;
  problem(message: string): void;
}

export class HostWatch {
  readonly #ports: Pick<Ports, 'execute' | 'clock'>;
  readonly #sources: HostWatchSources;
  #fact: HostFact | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(ports: Pick<Ports, 'execute' | 'clock'>, sources: HostWatchSources) {
    this.#ports = ports;
    this.#sources = sources;
  }

  /** null: not known yet. */
  fact(): HostFact | null {
    return this.#fact;
  }

  /** Asks when an hour has passed; nobody needs to wait for it. Never rejects. */
  async lookIfDue(): Promise<void> {
    const nowMs = this.#ports.clock.monotonicMs();
    if (nowMs - this.#lookedMs < LOOK_INTERVAL_MS) return;
    this.#lookedMs = nowMs;
    const run = await this.#ports.execute(process.execPath, [PROGRAM], {
      timeoutMs: TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES,
    });
    const [first, second] = run.stdout.toString('utf8').split('\n', 2).map(parsed);
    const fact = hostFact(first);
    if (fact === null) {
      this.#sources.problem(`the machine cannot be described: ${why(run)}`);
      return;
    }
    this.#fact = fact;
    this.#compare(typeof second === 'number' && Number.isSafeInteger(second) ? second : null, run);
  }

  /** Another table of all processes than ours: when they differ by much, one of them is blind. */
  #compare(theirs: number | null, run: Executed): void {
    const ours = this.#sources.processes();
    if (ours === null) return;
    if (theirs === null) {
      this.#sources.problem(`systeminformation cannot list the processes of this machine: ${why(run)}`);
      return;
    }
    const [few, many] = [Math.min(ours, theirs), Math.max(ours, theirs)];
    if (many - few <= TOLERATED || few * DISAGREEMENT > many) return;
    this.#sources.problem(
      theirs < ours
        ? 'systeminformation (ps) lists less than half of the processes that /proc shows'
        : '/proc shows the agent less than half of the processes that systeminformation (ps) lists',
    );
  }
}

/** In words that stay the same, so that they are told once. */
function why({ failure, exitCode }: Executed): string {
  if (failure === 'timeout') return 'its program took too long';
  if (failure !== null) return `its program did not run (${failure})`;
  return exitCode === 0 ? 'its program gave no answer' : 'its program failed';
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Null for what is no description, or tells nothing. */
function hostFact(value: unknown): HostFact | null {
  if (typeof value !== 'object' || value === null) return null;
  const members = new Map<string, unknown>(Object.entries(value));
  const text = (name: string): string | null => {
    const member = members.get(name);
    const fits = typeof member === 'string' && member.length <= BATCH_LIMITS.nameChars;
    return fits && /^[\x20-\x7e]+$/.test(member) ? member : null;
  };
  const count = (name: string): number | null => {
    const member = members.get(name);
    return typeof member === 'number' && Number.isSafeInteger(member) && member > 0 ? member : null;
  };
  const fact: HostFact = {
    operatingSystem: text('operatingSystem'),
    kernel: text('kernel'),
    processor: text('processor'),
    cores: count('cores'),
    memoryBytes: count('memoryBytes'),
    virtualisation: text('virtualisation'),
  };
  return Object.values(fact).every((member) => member === null) ? null : fact;
}
