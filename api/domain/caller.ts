import type { Role } from '../contract/primitives.ts';

/** Who asks: a token or a page session. An agent speaks for `node` only; an owner sees `accounts` only. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
  readonly node: string | null;
  readonly accounts: readonly string[] | null;
  /** The OS accounts that an owner declares jobs for; null, or absent: not said. */
  readonly users?: readonly string[] | null;
}
