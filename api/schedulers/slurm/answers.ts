/** What a Slurm cluster answers, row by row, whichever way it is asked: by its programs, or through slurmrestd. */
import { type JsonMember, jsonMembers } from '../json-rows.ts';
import { isRow } from './values.ts';

/** A larger row is not read: a job with a hundred thousand steps, which are not asked for, would have one. */
const MAX_ROW_BYTES = 8 * 1024 * 1024;

export interface RowsOf {
  readonly rows: AsyncIterable<unknown>;
  /** Times without a zone are UTC: we ran the program ourselves. */
  readonly zoneless: boolean;
  /** Rows of other clusters are there as a matter of course: of accounting that several share. */
  readonly shared?: boolean;
}

/** Which runs of accounting: those that overlap a span of time, or those of some job ids. */
export type Wanted =
  | { readonly fromMs: number; readonly toMs: number }
  | { readonly jobIds: readonly number[]; readonly sinceMs: number };

export interface Slurm {
  /** All that the controller knows of: what waits, what runs, what ended within MinJobAge. */
  jobs(signal: AbortSignal): Promise<RowsOf>;
  /** Every run, also those before a requeue. */
  runs(wanted: Wanted, signal: AbortSignal): Promise<RowsOf>;
  nodes(signal: AbortSignal): Promise<RowsOf>;
  identify(signal: AbortSignal): Promise<Identity>;
}

/** What a cluster says of itself; null: it does not say, or cannot be asked this way. */
export interface Identity {
  readonly cluster: string | null;
  readonly version: string | null;
  /** What of it users may not see of each other, such as `jobs`. */
  readonly privateData: string | null;
  /** MinJobAge: so long the controller knows of a job that has ended. */
  readonly remembersMs: number | null;
  readonly hasAccounting: boolean;
}

/** The answer is of another cluster than the one that is followed: nothing of it may be declared. */
export class OtherCluster extends Error {
  constructor(wanted: string, answered: string) {
    super(
      `the answer is of cluster ${shown(answered)}, not of ${wanted}: nothing of it is declared; correct cluster: or where it is asked`,
    );
    this.name = 'OtherCluster';
  }
}

/** Slurm refused to answer, in its own words. */
export class SlurmRefusal extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SlurmRefusal';
  }
}

const shown = (text: string): string => text.replace(/[\p{Cc}\p{Cs}]/gu, '?').slice(0, 100);

/** Slurm writes names of clusters in small letters, whatever the configuration says. */
export function assertCluster(wanted: string, answered: string | null): void {
  if (isOther(wanted, answered)) throw new OtherCluster(wanted, answered);
}

export const isOther = (wanted: string, answered: string | null): answered is string =>
  answered !== null && answered !== '' && answered.toLowerCase() !== wanted.toLowerCase();

/**
 * The rows of an answer's list: `keys` are its names by generation; the oldest is a list itself. Elements that are no
 * JSON, or too large, are undefined. Throws `OtherCluster`, `JsonBroken`, and `SlurmRefusal` where it holds errors, or no
 * such list: an answer that says nothing must not be taken for one that says that there is nothing.
 */
export async function* rowsOf(
  chunks: AsyncIterable<Buffer>,
  keys: readonly string[],
  cluster: string,
): AsyncGenerator<unknown> {
  let refusal: string | null = null;
  let rows = 0;
  let hasList = false;
  const onList = (key: string | null): void => {
    if (key === null || keys.includes(key)) hasList = true;
  };
  for await (const member of jsonMembers(chunks, MAX_ROW_BYTES, onList)) {
    if (member.element && (member.key === null || keys.includes(member.key))) {
      rows += 1;
      yield member.value;
    } else if (member.key === 'meta') assertCluster(cluster, clusterOf(member));
    else if (member.key === 'errors') refusal ??= errorOf(member.value);
  }
  // 22.05 calls it an error that there is no such job.
  const isNothing = refusal !== null && /nothing found/i.test(refusal);
  if (refusal !== null && rows === 0 && !isNothing) throw new SlurmRefusal(refusal);
  if (!hasList && !isNothing)
    throw new SlurmRefusal(
      `the answer has no list of ${keys.join(' or ')}: nothing can be concluded from it`,
    );
}

/** `meta.slurm.cluster` from 23.11 on; nothing before. */
function clusterOf({ value }: JsonMember): string | null {
  const slurm = isRow(value) ? value['slurm'] : null;
  const cluster = isRow(slurm) ? slurm['cluster'] : null;
  return typeof cluster === 'string' ? cluster : null;
}

function errorOf(value: unknown): string | null {
  if (!isRow(value)) return typeof value === 'string' ? shown(value) : null;
  const words = [value['error'], value['description'], value['source']].filter(
    (one) => typeof one === 'string',
  );
  return words.length === 0 ? 'Slurm answered with an error' : shown(words.join(': '));
}
