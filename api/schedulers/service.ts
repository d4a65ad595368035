/** What a runner asks of the service. `api/cli/source-service.ts` is it over HTTP. */
import type { BulkResult, HealthIn } from '../contract/sources.ts';
import type { Declaration, NodeCondition } from './source.ts';

export interface SourceName {
  readonly source: string;
  readonly instance: string;
}

/** A job that the service has without an end. */
interface OpenJob {
  readonly id: string;
  readonly externalId: string;
  readonly startMs: number;
}

/** The service cannot be reached, or is too busy: the same again, later, may go through. */
export class ServiceAway extends Error {}
/** A request is too large: in parts it may go through. */
export class TooMuch extends Error {}

/** Each throws `ServiceAway`, or another error where asking again is of no use. */
export interface SourceService {
  /** One answer for each, in order. Throws `TooMuch` too. */
  declare(jobs: readonly Declaration[], signal: AbortSignal): Promise<readonly BulkResult[]>;
  /** Up to when the service has everything of a source; null: it has nothing. */
  watermarkMs(name: SourceName, signal: AbortSignal): Promise<number | null>;
  complete(name: SourceName, completeToMs: number, signal: AbortSignal): Promise<void>;
  health(name: SourceName, health: HealthIn, signal: AbortSignal): Promise<void>;
  conditions(name: SourceName, conditions: readonly NodeCondition[], signal: AbortSignal): Promise<void>;
  /** Page by page. */
  openJobs(name: SourceName, signal: AbortSignal): AsyncIterable<readonly OpenJob[]>;
  end(id: string, endMs: number, signal: AbortSignal): Promise<void>;
}
