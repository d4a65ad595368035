/** Checks the journal of what people do, and that what it tells of is what is stored. */
import type { Store } from '../store/store.ts';
import { MAPPING_ACTION, mappingDigest, mappingSubject } from './mappings.ts';
import { POLICY_ACTION, policyDigest, policySubject } from './policies.ts';
import { isOfKeys, type JournalledKey } from './verify-signatures.ts';

const JOURNAL_PAGE = 1_000;

interface JournalCheck {
  readonly problems: string[];
  /** What it says of each version of the policy, by its subject. */
  readonly policies: ReadonlyMap<string, string>;
  /** And of each version of the mapping. */
  readonly mappings: ReadonlyMap<string, string>;
  readonly keys: readonly JournalledKey[];
}

/** Its chain, and what it says of policies, mappings and keys. */
export async function verifyJournal(store: Store): Promise<JournalCheck> {
  const problems: string[] = [];
  const policies = new Map<string, string>();
  const mappings = new Map<string, string>();
  const keys: JournalledKey[] = [];
  let number = 0;
  let hash = '0'.repeat(64);
  for (;;) {
    const rows = await store.audit.readJournal(number, JOURNAL_PAGE);
    for (const row of rows) {
      if (row.number !== number + 1)
        problems.push(`journal: entries between ${number} and ${row.number} are missing`);
      if (row.previousHash !== hash)
        problems.push(`journal: entry ${row.number} is not chained to the one before it`);
      if (row.hash !== row.expectedHash) problems.push(`journal: entry ${row.number} was changed`);
      if (row.action === POLICY_ACTION) policies.set(row.subject, row.detail);
      if (row.action === MAPPING_ACTION) mappings.set(row.subject, row.detail);
      if (isOfKeys(row)) keys.push(row);
      ({ number, hash } = row);
    }
    if (rows.length < JOURNAL_PAGE) return { problems, policies, mappings, keys };
  }
}

/** A policy decides about every hour that it holds in: each version must be the one that was journalled. */
export async function verifyPolicies(store: Store, told: JournalCheck['policies']): Promise<string[]> {
  const records = await store.policies.list();
  const stored = records.map((one): Version => [policySubject(one), policyDigest(one)]);
  return compare('policy', stored, told);
}

/** A mapping decides to whom every day that it holds in is charged. */
export async function verifyMappings(store: Store, told: JournalCheck['mappings']): Promise<string[]> {
  const records = await store.mappings.list();
  const stored = records.map((one): Version => [mappingSubject(one), mappingDigest(one)]);
  return compare('mapping', stored, told);
}

type Version = readonly [subject: string, digest: string];

function compare(what: string, stored: readonly Version[], told: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  for (const [subject, digest] of stored) {
    const detail = told.get(subject);
    if (detail === undefined) problems.push(`${what}: nobody recorded ${subject}`);
    else if (!detail.includes(digest)) problems.push(`${what}: ${subject} was changed`);
  }
  for (const subject of told.keys())
    if (!stored.some(([other]) => other === subject)) problems.push(`${what}: ${subject} is missing`);
  return problems;
}
