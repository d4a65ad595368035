/** What the ledger says of each device and hour of a scenario, by whom it says that computed. */
import { JobsQuery } from '../../api/contract/jobs.ts';
import type { Caller } from '../../api/domain/caller.ts';
import type { Entry } from '../../api/domain/cell.ts';
import type { Built } from './build.ts';
import { jobsOf } from './build-jobs.ts';
import type { Played } from './play.ts';
import { cellKey } from './truth.ts';

const AUDITOR: Caller = { name: 'score', role: 'auditor', node: null, accounts: null };

/** Of one device and hour, in GPU-milliseconds. */
export interface BookCell {
  /** Executing for a job, by its name in the scenario; without what is marked. */
  readonly used: Map<string, number>;
  /** Executing for a job, with an explicit mark that a named process is not what the job declared. */
  readonly marked: Map<string, number>;
  /** Executing, and no declaration covers it. */
  claimed: number;
  /** There, and no declaration covers it; whether it executed the device does not tell. */
  untold: number;
  /** What the site said that it does itself. */
  exempt: number;
  unobserved: number;
}

/** By `cellKey`. */
export async function readBooks(built: Built, { app }: Played): Promise<ReadonlyMap<string, BookCell>> {
  const books = new Map<string, BookCell>();
  const names = await jobNames(built, app);
  const divided = new Set(
    [...built.nodes.values()].flatMap(({ devices }) =>
      devices.filter((device) => device.instances !== undefined).map((device) => device.uuid),
    ),
  );
  for (const { node } of await app.store.audit.listNodes())
    for (const hourMs of await app.store.audit.listHours(node)) {
      if (hourMs >= built.endMs) continue;
      const { cells } = await app.store.audit.readStored({ node, hourMs });
      for (const { device, entries } of cells) {
        const key = cellKey(device, hourMs);
        const cell = books.get(key) ?? newCell();
        books.set(key, cell);
        for (const entry of entries) add(cell, entry, names, divided.has(device));
      }
    }
  return books;
}

/** Names in the scenario by the ids that the service gave. */
async function jobNames(built: Built, app: Played['app']): Promise<ReadonlyMap<string, string>> {
  const declared = new Map(
    [...jobsOf(built.scenario)].map(([name, job]) => [
      `${job.source} ${job.id ?? name} ${job.incarnation}`,
      name,
    ]),
  );
  const names = new Map<string, string>();
  for (let cursor: string | undefined; ; ) {
    const asked = JobsQuery.parse({ limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    const { items, nextCursor } = await app.services.queries.jobs(AUDITOR, asked);
    for (const { id, source, externalId, incarnation } of items)
      names.set(id, declared.get(`${source} ${externalId} ${incarnation}`) ?? externalId);
    if (nextCursor === null) return names;
    cursor = nextCursor;
  }
}

const newCell = (): BookCell => ({
  ...{ used: new Map(), marked: new Map(), claimed: 0, untold: 0, exempt: 0, unobserved: 0 },
});

function add(cell: BookCell, entry: Entry, names: ReadonlyMap<string, string>, divided: boolean): void {
  const { bucket, activity, evidence, job, process, suspicious, ms } = entry;
  if (bucket === 'unobserved') cell.unobserved += ms;
  else if (bucket === 'unaccounted') {
    if (activity === 'active') cell.claimed += ms;
    else if (divided) cell.untold += ms;
  } else if (bucket === 'used' && evidence === 'policy') cell.exempt += ms;
  else if (bucket === 'used') {
    const into = suspicious && process !== null ? cell.marked : cell.used;
    const name = names.get(job ?? '') ?? '';
    into.set(name, (into.get(name) ?? 0) + ms);
  }
}
