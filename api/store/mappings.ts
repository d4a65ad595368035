/** What the services need of a store for the site's mapping. */
import type { Mapping } from '../domain/mapping.ts';
import type { JournalWrite } from './jobs.ts';

export interface MappingRecord extends Mapping {
  /** It was meant to move charges of the past. */
  readonly reachesPast: boolean;
  readonly recordedAtMs: number;
  readonly recordedBy: string;
}

export interface MappingStore {
  /** Ascending by version. */
  list(): Promise<MappingRecord[]>;
  /** Adds a version. Throws `StoreConflict` where another one has its number by now. */
  apply(record: MappingRecord, journal: JournalWrite): Promise<void>;
}
