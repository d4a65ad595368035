/**
 * What the services need of a database. Asynchronous throughout, so that another engine can stand behind it: reads are
 * snapshots, and each write is one `apply` of a whole write set. No callbacks run inside transactions.
 */
import type { BatchStore } from './batches.ts';

export interface Store {
  readonly batches: BatchStore;
  /** Calls `listener` whenever a write left node-hours to attribute. Returns the function that ends it. */
  onDirty(listener: () => void): () => void;
  close(): Promise<void>;
}
