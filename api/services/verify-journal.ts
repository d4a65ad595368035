/** Checks the journal of what people do, and that what it tells of is what is stored. */
import type { Store } from '../store/store.ts';
import { POLICY_ACTION, policyDigest, policySubject } from './policies.ts';
import { isOfKeys, type JournalledKey } from './verify-signatures.ts';

const JOURNAL_PAGE = 1_000;

interface JournalCheck {
  readonly problems: string[];
  /** What it says of each version of the policy, by its subject. */
  readonly policies: ReadonlyMap<string, string>;
  readonly keys: readonly JournalledKey[];
}

/** Its chain, and what it says of policies and keys. */
export async function verifyJournal(store: Store): Promise<JournalCheck> {
  const problems: string[] = [];
  const policies = new Map<string, string>();
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
      if (isOfKeys(row)) keys.push(row);
      ({ number, hash } = row);
    }
    if (rows.length < JOURNAL_PAGE) return { problems, policies, keys };
  }
}

/** A policy decides about every hour that it holds in: each version must be the one that was journalled. */
export async function verifyPolicies(store: Store, told: JournalCheck['policies']): Promise<string[]> {
  const problems: string[] = [];
  const records = await store.policies.list();
  for (const record of records) {
    const detail = told.get(policySubject(record));
    if (detail === undefined) problems.push(`policy: nobody recorded version ${record.policy.version}`);
    else if (!detail.includes(policyDigest(record)))
      problems.push(`policy: version ${record.policy.version} was changed`);
  }
  for (const subject of told.keys())
    if (!records.some((record) => policySubject(record) === subject))
      problems.push(`policy: ${subject} is missing`);
  return problems;
}
