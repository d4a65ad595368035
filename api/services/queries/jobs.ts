/** GET /v1/jobs and /v1/jobs/{id}. */
import { z } from 'zod';
import type { JobDetail, JobList, JobOut, JobRow, JobsQuery } from '../../contract/jobs.ts';
import type { Caller } from '../../domain/caller.ts';
import { isInside } from '../../domain/inside.ts';
import { chargesOf, type Mapping } from '../../domain/mapping.ts';
import { overlapsOf } from '../../domain/overlaps.ts';
import type * as Stored from '../../store/questions.ts';
import { type JobFacts, type JobVersionRow, type Questions, scopeOf } from '../../store/questions.ts';
import { toAllocationOut } from '../declared-job.ts';
import { ServiceError } from '../errors.ts';
import { toTime, toTimeOrNull } from './completeness.ts';
import { sumsOf } from './ledger.ts';
import { cutPage, decodeCursor, searchText } from './page.ts';

const NO_USE = { allocatedMs: 0, usedMs: 0, heldMs: 0, unaccountedInsideMs: 0, unobservedInsideMs: 0 };
const Position = z.tuple([z.int(), z.int()]);

function toJob(row: JobVersionRow): JobOut {
  const { id, source, externalId, name, account, user, cluster, sourceInstance, incarnation, uid } = row;
  return {
    ...{ id, source, externalId, name, account, user, cluster, sourceInstance, incarnation, uid },
    start: toTime(row.startMs),
    end: toTimeOrNull(row.endMs),
    allocations: row.allocations.map((one) => toAllocationOut(one, one.meant)),
    boundaries: [...row.boundaries],
    executables: [...row.executables],
    image: row.image,
    entrypoint: [...row.entrypoint],
    commandPattern: row.commandPattern,
    peers: [...row.peers],
    processesPerDevice: row.processesPerDevice,
    root: row.root,
    within: row.within,
    attributes: { ...row.attributes },
    marks: [...row.marks],
    version: row.version,
    firstRecordedAt: toTime(row.firstRecordedAtMs),
    recordedAt: toTime(row.recordedAtMs),
    recordedBy: row.recordedBy,
    selfDeclared: row.selfDeclared,
  };
}

function toJobRow(row: Stored.JobRow): JobRow {
  const { allocatedMs, usedMs, heldMs, unaccountedInsideMs, unobservedInsideMs } = row.use ?? NO_USE;
  return {
    ...toJob(row),
    use: { allocatedMs, usedMs, heldMs, unaccountedInsideMs, unobservedInsideMs },
  };
}

export async function askJobs(
  questions: Questions,
  caller: Caller,
  query: z.output<typeof JobsQuery>,
  nowMs: number,
): Promise<JobList> {
  const position = decodeCursor(Position, query.cursor);
  const rows = await questions.jobs({
    ...scopeOf(caller),
    fromMs: query.from === undefined ? null : Date.parse(query.from),
    toMs: query.to === undefined ? null : Date.parse(query.to),
    account: query.account ?? null,
    user: query.user ?? null,
    source: query.source ?? null,
    running: query.state === undefined ? null : query.state === 'running',
    search: searchText(query.search),
    nowMs,
    after: position && { startMs: position[0], job: position[1] },
    limit: query.limit + 1,
  });
  const page = cutPage(rows, query.limit, (last) => [last.startMs, last.job]);
  return { items: page.rows.map(toJobRow), nextCursor: page.nextCursor };
}

/** Whether nothing but a rule says that the job held this device: it asked for a number, and nothing of it was seen there. */
function isAssumed({ row }: JobFacts, device: JobFacts['devices'][number]): boolean {
  const here = row.allocations.filter((allocation) => allocation.node === device.node);
  const named = here.some((each) => each.devices?.includes(device.device) ?? each.count === null);
  return !named && !device.bound;
}

/** Those of jobs that the caller may see. */
function overlapsWith({ row, beside }: JobFacts, accounts: readonly string[] | null): JobDetail['overlaps'] {
  return beside
    .filter((other) => accounts === null || accounts.includes(other.account))
    .filter((other) => !isInside(row, other) && !isInside(other, row))
    .flatMap((other) => {
      const { id, source, externalId, name, account, user } = other;
      return overlapsOf(row, other).map(({ node, devices, fromMs, toMs }) => ({
        job: { id, source, externalId, name, account, user },
        node,
        devices: devices === null ? null : [...devices],
        from: toTime(fromMs),
        to: Number.isFinite(toMs) ? toTime(toMs) : null,
      }));
    });
}

function chargedOf(row: JobVersionRow, mappings: readonly Mapping[], nowMs: number): JobDetail['charged'] {
  const { startMs, endMs } = row;
  const charges = chargesOf(mappings, row, { fromMs: startMs, toMs: endMs ?? Math.max(nowMs, startMs) });
  return charges.map(({ fromMs, toMs, booking, mapped }, index) => ({
    ...booking,
    from: toTime(fromMs),
    to: index === charges.length - 1 ? toTimeOrNull(endMs) : toTime(toMs),
    mapped,
  }));
}

/** Throws `not_found`, also for a job that the caller may not see. */
export async function askJob(
  questions: Questions,
  caller: Caller,
  id: string,
  nowMs: number,
): Promise<JobDetail> {
  const facts = await questions.job(id, scopeOf(caller));
  if (facts === null) throw new ServiceError('not_found', `There is no job ${id}`);
  return {
    ...toJobRow(facts.row),
    versions: facts.versions.map(toJob),
    overlaps: overlapsWith(facts, scopeOf(caller).accounts),
    charged: chargedOf(facts.row, facts.mappings, nowMs),
    usedInOthersMs: facts.usedInOthersMs,
    inside: facts.inside.map((inside) => ({ ...inside })),
    devices: facts.devices.map((device) => ({
      node: device.node,
      device: device.device,
      index: device.index,
      assumed: isAssumed(facts, device),
      sums: sumsOf(device),
    })),
  };
}
