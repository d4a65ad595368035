/**
 * What the services need of a database. Asynchronous throughout, so that another engine can stand behind it: reads are
 * snapshots, and each write is one `apply` of a whole write set. No callbacks run inside transactions.
 */
import type { AuditStore } from './audit.ts';
import type { BatchStore } from './batches.ts';
import type { FleetStore } from './fleet.ts';
import type { JobStore } from './jobs.ts';
import type { KeyStore } from './keys.ts';
import type { LedgerStore } from './ledger.ts';
import type { MappingStore } from './mappings.ts';
import type { PolicyStore } from './policies.ts';

export interface Store {
  readonly batches: BatchStore;
  readonly jobs: JobStore;
  readonly fleet: FleetStore;
  readonly keys: KeyStore;
  readonly mappings: MappingStore;
  readonly policies: PolicyStore;
  readonly ledger: LedgerStore;
  /** For `verify`, on a store that is opened for reading only. */
  readonly audit: AuditStore;
  /** Calls `listener` whenever a write left node-hours to attribute. Returns the function that ends it. */
  onDirty(listener: () => void): () => void;
  close(): Promise<void>;
}
