/** What the routes need of the inside: services, never a store. */
import type { Clock } from '../clock.ts';
import type { RateCard } from '../contract/finance.ts';
import type { FleetIn, FleetResult } from '../contract/fleet.ts';
import type { JobIn, JobOut, JobPatch } from '../contract/jobs.ts';
import type { Caller } from '../domain/caller.ts';
import type { Ingest } from '../services/ingest.ts';
import type { Live } from '../services/live.ts';
import type { Queries } from '../services/queries/queries.ts';
import type { Sessions } from '../services/sessions.ts';
import type { Tokens } from '../services/tokens.ts';

/** What people and schedulers declare. */
export interface Declarations {
  declareJob(caller: Caller, job: JobIn): Promise<{ job: JobOut; created: boolean }>;
  patchJob(caller: Caller, id: string, patch: JobPatch): Promise<JobOut>;
  putSource(caller: Caller, source: string, sourceInstance: string, completeToMs: number): Promise<unknown>;
  putFleet(caller: Caller, fleet: FleetIn): Promise<FleetResult>;
  putRates(caller: Caller, card: RateCard): Promise<unknown>;
}

export interface Services {
  readonly clock: Clock;
  readonly ingest: Ingest;
  readonly declarations: Declarations;
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
