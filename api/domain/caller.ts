import type { Role } from '../contract/primitives.ts';

/** Who asks: a token or a page session. An agent speaks for `node` only; an owner sees `accounts` only. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
  readonly node: string | null;
  readonly accounts: readonly string[] | null;
}
