/** Who may do what: one table, permission by role. Every route names one permission; the roles stand nowhere else. */
import type { Role } from '../contract/primitives.ts';

const READERS = ['viewer', 'finance', 'auditor', 'admin'] as const;

export const ACCESS = {
  /** An agent's own token only: a batch says what a machine saw, and nobody else can say that. */
  'batches:write': ['agent'],
  'jobs:read': [...READERS, 'owner', 'scheduler'],
  'jobs:write': ['scheduler', 'owner', 'admin'],
  'sources:read': [...READERS, 'scheduler'],
  'sources:write': ['scheduler', 'admin'],
  'ledger:read': READERS,
  'findings:read': [...READERS, 'owner'],
  'fleet:read': READERS,
  'fleet:write': ['admin'],
  'rates:read': ['finance', 'auditor', 'admin'],
  'rates:write': ['finance', 'admin'],
  'mapping:write': ['admin'],
  'policy:read': READERS,
  'policy:write': ['admin'],
  'statements:read': ['finance', 'auditor', 'admin'],
  'metrics:read': READERS,
  'live:read': [...READERS, 'owner', 'scheduler'],
  /** Whoever is signed in. */
  'session:read': [...READERS, 'owner', 'scheduler', 'agent'],
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof ACCESS;

export function mayUse(role: Role, permission: Permission): boolean {
  const roles: readonly Role[] = ACCESS[permission];
  return roles.includes(role);
}

export const permissionsOf = (role: Role): string[] =>
  Object.entries(ACCESS).flatMap(([permission, roles]) =>
    roles.some((one) => one === role) ? [permission] : [],
  );
