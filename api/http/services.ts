/** What the routes need of the inside: services, never a store. */
import type { Clock } from '../clock.ts';
import type { Declarations } from '../services/declarations.ts';
import type { Ingest } from '../services/ingest.ts';
import type { Live } from '../services/live.ts';
import type { MappingService } from '../services/mappings.ts';
import type { NodeKeyService } from '../services/node-keys.ts';
import type { PolicyService } from '../services/policies.ts';
import type { Queries } from '../services/queries/queries.ts';
import type { Sessions } from '../services/sessions.ts';
import type { Tokens } from '../services/tokens.ts';

export interface Services {
  readonly clock: Clock;
  readonly ingest: Ingest;
  readonly declarations: Declarations;
  readonly keys: NodeKeyService;
  readonly mappings: MappingService;
  readonly policies: PolicyService;
  readonly queries: Queries;
  readonly live: Live;
  readonly tokens: Tokens;
  readonly sessions: Sessions;
}

/** What an installation is called. */
export interface Installation {
  readonly cluster: string;
  readonly version: string;
  readonly demo: boolean;
}
