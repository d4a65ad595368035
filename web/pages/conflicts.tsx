/** Every conflict of claims: who claims the same devices at the same time. */
import { Anchor, Button } from '@mantine/core';
import { Link, useSearchParams } from 'react-router';
import { ConflictsTable } from '../components/conflicts-table.tsx';
import { LoadMore } from '../components/data-table.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Choice, Typed, useFilters } from '../components/filters.tsx';
import { PageHead } from '../components/page-head.tsx';
import { Section } from '../components/section.tsx';
import { useConflicts } from '../queries.ts';

const FILTERS = ['state', 'account', 'source', 'node'] as const;
const STATES = [
  { value: 'running', label: 'Goes on' },
  { value: 'past', label: 'Past' },
];

export function ConflictsPage() {
  const [filters, change] = useFilters(FILTERS);
  const [, setParams] = useSearchParams();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useConflicts(filters);
  const conflicts = data?.pages.flatMap((page) => page.items);
  const filtered = Object.keys(filters).length > 0;
  const field = (name: 'account' | 'source' | 'node', label: string) => (
    <Typed label={label} value={filters[name]} change={(value) => change(name, value)} />
  );
  return (
    <>
      <nav aria-label="Back" className="crumbs">
        <Anchor component={Link} to="/jobs">
          Jobs
        </Anchor>
      </nav>
      <PageHead
        title="Conflicting claims"
        lead="Jobs that claim more of the same devices than there is. The time is divided between them in equal parts and counted once."
      />
      <div className="filters">
        <Choice
          label="State"
          value={filters['state']}
          options={STATES}
          change={(value) => change('state', value)}
        />
        {field('account', 'Account')}
        {field('source', 'Source')}
        {field('node', 'Node')}
      </div>
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <Section title="Of the last seven days" padded={false}>
          <ConflictsTable
            conflicts={conflicts}
            empty={
              filtered ? (
                <Empty title="No conflict matches these filters">
                  <Button variant="default" size="sm" onClick={() => setParams({})}>
                    Clear the filters
                  </Button>
                </Empty>
              ) : (
                <Empty title="No two jobs claimed one device at one time" />
              )
            }
          />
          {conflicts && conflicts.length > 0 ? (
            <LoadMore
              shown={conflicts.length}
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
