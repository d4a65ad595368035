/** The SQLite store: one file, opened, migrated and wired. */
import type { Store } from '../store.ts';
import { createAudit } from './audit.ts';
import { createBatches } from './batches.ts';
import { createCapacity } from './capacity.ts';
import { createSqlite, openDatabase } from './connection.ts';
import { createDevices } from './devices.ts';
import { createDirtyMarks } from './dirty.ts';
import { createFindings } from './findings.ts';
import { createFleet } from './fleet.ts';
import { createPolicyReader } from './fleet-reader.ts';
import { createIds } from './ids.ts';
import { createJobRows } from './job-rows.ts';
import { createJobs } from './jobs.ts';
import { createJournal } from './journal.ts';
import { createLedger } from './ledger.ts';
import { createMappings } from './mappings.ts';
import { createMinors } from './minors.ts';
import { createNodeKeys } from './node-keys.ts';
import { createPlacement } from './placement.ts';
import { createPolicies } from './policies.ts';
import { createProcessIndex } from './process-index.ts';

export interface SqliteStoreOptions {
  readonly file: string;
  readonly readOnly?: boolean;
  /** When a migration is recorded as applied. */
  readonly nowMs?: number;
}

/** Opens (and unless `readOnly`, makes and migrates) a database file. Throws `StoreError`. */
export function openSqlite({ file, readOnly = false, nowMs = 0 }: SqliteStoreOptions): Store {
  const sqlite = createSqlite(openDatabase({ file, readOnly, nowMs }));
  const ids = createIds(sqlite);
  const dirty = createDirtyMarks(sqlite);
  const capacity = createCapacity(sqlite, dirty);
  const minors = createMinors(sqlite, dirty);
  const devices = createDevices(sqlite, capacity, minors);
  const jobs = createJobRows(sqlite);
  const journal = createJournal(sqlite);
  const keys = createNodeKeys(sqlite, { ids, journal, dirty });
  const processes = createProcessIndex(sqlite);
  const findings = createFindings(sqlite, ids, processes);
  const placement = createPlacement(sqlite, { ids, jobs, minors, policyAt: createPolicyReader(sqlite).at });
  return {
    batches: createBatches(sqlite, { ids, dirty, devices, keys }),
    keys,
    jobs: createJobs(sqlite, { ids, dirty, rows: jobs, journal, minors, placement }),
    fleet: createFleet(sqlite, { ids, dirty, journal, capacity }),
    mappings: createMappings(sqlite, journal),
    policies: createPolicies(sqlite, { ids, dirty, rows: jobs, journal }),
    ledger: createLedger(sqlite, { ids, dirty, jobs, keys, minors, processes, findings, placement }),
    audit: createAudit(sqlite, { ids, dirty, processes, capacity }),
    onDirty: sqlite.onDirty,
    close: async () => {
      sqlite.database.close();
    },
  };
}
