/** The services on a real database, with helpers to send what agents send and to read what came out. */
import { join } from 'node:path';
import { inspect } from 'node:util';
import Database from 'better-sqlite3';
import type { Batch } from '../../api/contract/batch.ts';
import { JobIn } from '../../api/contract/jobs.ts';
import type { LiveEvent } from '../../api/contract/overview.ts';
import { type Attribution, createAttribution } from '../../api/services/attribution.ts';
import { createDeclarations, type Declarations } from '../../api/services/declarations.ts';
import { createIngest, type Ingest } from '../../api/services/ingest.ts';
import { createLive } from '../../api/services/live.ts';
import { createPolicyService, type PolicyService } from '../../api/services/policies.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import type { Store } from '../../api/store/store.ts';
import { agentOf, CLUSTER, caller, type HandClock, handClock, post, START, temporaryFolder } from './site.ts';

export interface Service {
  readonly file: string;
  readonly store: Store;
  readonly clock: HandClock;
  readonly ingest: Ingest;
  readonly declarations: Declarations;
  readonly policies: PolicyService;
  readonly attribution: Attribution;
  readonly events: LiveEvent[];
  readonly failures: string[];
  send(...batches: Batch[]): Promise<void>;
  declare(job: Record<string, unknown>): Promise<string>;
  rows(sql: string): Record<string, unknown>[];
  /** Runs SQL behind the service's back. */
  tamper(sql: string): void;
  stop(): Promise<void>;
}

/** `file`: of a service that ran before. */
export function startService(startMs = START, file = join(temporaryFolder(), 'gpuledger.sqlite')): Service {
  const store = openSqlite({ file });
  const clock = handClock(startMs);
  const live = createLive();
  const events: LiveEvent[] = [];
  live.subscribe((event) => void events.push(event));
  const failures: string[] = [];
  const log = {
    error: (details: object, message: string) => void failures.push(`${message} ${inspect(details)}`),
  };
  const ingest = createIngest(store, clock, live, CLUSTER);
  const declarations = createDeclarations(store, clock, CLUSTER);
  const policies = createPolicyService(store, clock, CLUSTER);
  const attribution = createAttribution(store, clock, live, log);
  const reader = new Database(file);
  return {
    ...{ file, store, clock, ingest, declarations, policies, attribution, events, failures },
    async send(...batches) {
      const node = batches[0]?.body.node ?? '';
      const { results } = await ingest.accept(agentOf(node), post(...batches));
      const bad = results.find((result) => result.status !== 'stored');
      if (bad !== undefined) throw new Error(`not stored: ${JSON.stringify(bad)}`);
    },
    async declare(job) {
      const input = JobIn.parse({ source: 'slurm', account: 'physics', ...job });
      return (await declarations.declareJob(caller('scheduler'), input)).job.id;
    },
    rows: (sql) => {
      const found: Record<string, unknown>[] = [];
      for (const row of reader.prepare<[], Record<string, unknown>>(sql).all()) found.push(row);
      return found;
    },
    tamper: (sql) => void reader.exec(sql),
    async stop() {
      await attribution.stop();
      reader.close();
      await store.close();
    },
  };
}
