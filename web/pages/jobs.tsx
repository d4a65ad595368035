/** Declared jobs and what they did with what they were given. */
import { Anchor, Button } from '@mantine/core';
import { Link, useSearchParams } from 'react-router';
import type { JobRow } from '../../api/contract/jobs.ts';
import { Badge } from '../components/badges.tsx';
import { type Column, DataTable, LoadMore } from '../components/data-table.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Choice, Typed, useFilters } from '../components/filters.tsx';
import { JobLink } from '../components/job-link.tsx';
import { Moment } from '../components/moment.tsx';
import { PageHead } from '../components/page-head.tsx';
import { Section } from '../components/section.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatGpuHours, formatPercent } from '../format.ts';
import { useConflicts, useJobs } from '../queries.ts';

const FILTERS = ['search', 'account', 'user', 'source', 'state'] as const;
const STATES = [
  { value: 'running', label: 'Running' },
  { value: 'ended', label: 'Ended' },
];

const COLUMNS: readonly Column<JobRow>[] = [
  {
    key: 'job',
    head: 'Job',
    cell: (job) => (
      <div>
        <JobLink job={job} />
        <div className="soft small">
          <Untrusted text={job.name} maxChars={40} focusable={false} />
        </div>
      </div>
    ),
  },
  {
    key: 'account',
    head: 'Account',
    cell: (job) => (
      <div>
        <Untrusted text={job.account} maxChars={28} />
        <div className="soft small">
          <Untrusted text={job.user} maxChars={28} focusable={false} />
        </div>
      </div>
    ),
  },
  { key: 'start', head: 'Start', cell: (job) => <Moment iso={job.start} /> },
  {
    key: 'end',
    head: 'End',
    cell: (job) =>
      job.end === null ? <span className="badge badge-plain">Open</span> : <Moment iso={job.end} />,
  },
  {
    key: 'allocated',
    head: 'Allocated GPU-h',
    numeric: true,
    cell: (job) => formatGpuHours(job.use.allocatedMs, 2),
  },
  { key: 'used', head: 'Used', numeric: true, cell: (job) => formatGpuHours(job.use.usedMs, 2) },
  {
    key: 'held',
    head: 'Reserved, not active',
    numeric: true,
    cell: (job) => formatGpuHours(job.use.heldMs, 2),
  },
  {
    key: 'efficiency',
    head: 'Efficiency',
    hint: 'Used as a share of allocated',
    numeric: true,
    cell: (job) => formatPercent(job.use.usedMs, job.use.allocatedMs),
  },
  {
    key: 'inside',
    head: 'Unaccounted inside',
    hint: 'GPU-hours on its devices that its declaration does not cover; settled or awaiting a record',
    numeric: true,
    cell: (job) =>
      job.use.unaccountedInsideMs > 0 ? (
        <strong>{formatGpuHours(job.use.unaccountedInsideMs, 2)}</strong>
      ) : (
        <span className="soft">0.00</span>
      ),
  },
];

function NoJobs() {
  return (
    <Empty title="No job has been declared yet">
      <p>
        Until one is, everything that runs on a GPU has no matching declaration. This declares a command and
        runs it:
      </p>
      <pre className="command">npx gpuledger run --account ACCOUNT -- python train.py</pre>
      <p className="soft">
        Or declare jobs through the API: <a href="/docs">POST /v1/jobs</a>.
      </p>
    </Empty>
  );
}

/** Only where some go on; the link to all of them is always there. */
function ConflictNotice() {
  const { data } = useConflicts({ state: 'running' });
  const [page] = data?.pages ?? [];
  if (page === undefined || page.items.length === 0) return null;
  const many = page.nextCursor === null ? String(page.items.length) : `More than ${page.items.length}`;
  return (
    <p className="notice">
      <Badge tone="warn">Claimed twice</Badge>{' '}
      <Anchor component={Link} to="/conflicts?state=running">
        {many === '1' ? 'One conflict goes on' : `${many} conflicts go on`}
      </Anchor>
    </p>
  );
}

function JobFilters({
  filters,
  change,
}: {
  filters: Readonly<Record<string, string>>;
  change: (name: string, value: string) => void;
}) {
  return (
    <div className="filters">
      <Typed
        label="Search"
        placeholder="Part of the job’s id or name"
        value={filters['search']}
        change={(value) => change('search', value)}
      />
      <Choice
        label="State"
        value={filters['state']}
        options={STATES}
        change={(value) => change('state', value)}
      />
      <Typed label="Account" value={filters['account']} change={(value) => change('account', value)} />
      <Typed label="OS account" value={filters['user']} change={(value) => change('user', value)} />
      <Typed
        label="Source"
        placeholder="slurm, kubernetes, api, run"
        value={filters['source']}
        change={(value) => change('source', value)}
      />
    </div>
  );
}

export function JobsPage() {
  const [filters, change] = useFilters(FILTERS);
  const [, setParams] = useSearchParams();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useJobs(filters);
  const jobs = data?.pages.flatMap((page) => page.items);
  const filtered = Object.keys(filters).length > 0;
  return (
    <>
      <PageHead
        title="Jobs"
        lead="What was declared, newest start first, and what became of the GPU time it was given."
        aside={
          <Button component={Link} to="/conflicts" variant="default" size="sm">
            Conflicting claims
          </Button>
        }
      />
      <ConflictNotice />
      <JobFilters filters={filters} change={change} />
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <Section title="Declared jobs" padded={false}>
          <DataTable
            caption="Declared jobs and their GPU-hours"
            columns={COLUMNS}
            rows={jobs}
            rowKey={(job) => job.id}
            empty={
              filtered ? (
                <Empty title="No job matches these filters">
                  <Button variant="default" size="sm" onClick={() => setParams({})}>
                    Clear the filters
                  </Button>
                </Empty>
              ) : (
                <NoJobs />
              )
            }
          />
          {jobs && jobs.length > 0 ? (
            <LoadMore
              shown={jobs.length}
              more={hasNextPage}
              loading={isFetchingNextPage}
              load={() => void fetchNextPage()}
            />
          ) : null}
        </Section>
      )}
    </>
  );
}
