/** The form of what the doctor finds, and what its checks may ask. */
import type { AgentSettings } from '../config.ts';
import type { Probe } from '../ports/probe.ts';
import type { CallLocal, Ports } from '../ports.ts';

/** `unknown`: it could not be told, which is not the same as being well. */
export const CHECK_STATUSES = ['ok', 'warn', 'fail', 'unknown'] as const;
type CheckStatus = (typeof CHECK_STATUSES)[number];

export interface Check {
  /** Stable, for scripts: docs/AGENT.md lists them. */
  readonly id: string;
  readonly status: CheckStatus;
  /** One sentence: what was found, and what it means for what is seen. */
  readonly finding: string;
  /** One sentence: how to mend it; null where there is nothing to mend. */
  readonly remedy: string | null;
}

/** What the checks read the node with. */
export interface Patient {
  readonly settings: AgentSettings;
  readonly ports: Pick<Ports, 'execute' | 'files' | 'clock'>;
  /** Absent: nothing local is asked. */
  readonly callLocal?: CallLocal;
  readonly probe: Probe;
  /** Throws `ShipError`, in words, where there is none. */
  readonly token: () => string;
  /** Which process uses the spool; null: none that is known. */
  readonly lockOwner: (folder: string) => { readonly pid: number; readonly alive: boolean } | null;
}

/** A check whose outcome depends on what was read. */
export const found = (
  id: string,
  status: CheckStatus,
  finding: string,
  remedy: string | null = null,
): Check => ({ id, status, finding, remedy });

const MAX_LISTED = 5;
/** "a, b, c and 4 more". */
export function listed(names: readonly string[]): string {
  if (names.length <= MAX_LISTED) return names.join(', ');
  return `${names.slice(0, MAX_LISTED).join(', ')} and ${names.length - MAX_LISTED} more`;
}

/** A file of /proc as text, or null where it cannot be read. */
export function readText({ ports }: Patient, path: string, maxBytes: number): string | null {
  try {
    return ports.files.read(path, maxBytes).bytes.toString('latin1');
  } catch {
    return null;
  }
}

/** What a link of /proc points to, or null. */
export function readLink({ ports }: Patient, path: string): string | null {
  try {
    return ports.files.readLink(path).toString('latin1');
  } catch {
    return null;
  }
}
