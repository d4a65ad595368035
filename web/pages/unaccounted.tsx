/** Every finding, by source process. */
import { Button } from '@mantine/core';
import { useSearchParams } from 'react-router';
import type { Sorting } from '../components/data-table.tsx';
import { LoadMore } from '../components/data-table.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Choice, Typed, useFilters } from '../components/filters.tsx';
import { FindingsTable } from '../components/findings-table.tsx';
import { PageHead } from '../components/page-head.tsx';
import { Section } from '../components/section.tsx';
import { useFindings } from '../queries.ts';
import { KIND_WORDS, REASONS, reasonWords } from '../words.ts';

const FILTERS = ['search', 'state', 'running', 'reason', 'kind', 'node'] as const;
const STATES = [
  { value: 'settled', label: 'Settled' },
  { value: 'provisional', label: 'Awaiting record' },
];
const RUNNING = [
  { value: 'true', label: 'Still running' },
  { value: 'false', label: 'Ended' },
];
const REASON_OPTIONS = REASONS.map((value) => ({ value, label: reasonWords(value) }));
const KIND_OPTIONS = Object.entries(KIND_WORDS).map(([value, label]) => ({ value, label }));

/** The order that the address asks for. */
function useSorting(): Sorting {
  const [params, setParams] = useSearchParams();
  return {
    by: params.get('sort') ?? 'lastSeen',
    order: params.get('order') === 'asc' ? 'asc' : 'desc',
    change: (by, order) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          next.set('sort', by);
          next.set('order', order);
          return next;
        },
        { replace: true, preventScrollReset: true },
      ),
  };
}

export function UnaccountedPage() {
  const [filters, change] = useFilters(FILTERS);
  const [, setParams] = useSearchParams();
  const sorting = useSorting();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useFindings({
    ...filters,
    sort: sorting.by,
    order: sorting.order,
  });
  const findings = data?.pages.flatMap((page) => page.items);
  const filtered = Object.keys(filters).length > 0;
  return (
    <>
      <PageHead
        title="Unaccounted"
        lead="Use that no declaration covers, by the process it comes from. Rows that await a record may still be covered by one."
      />
      <div className="filters">
        <Typed
          label="Search"
          placeholder="Executable, account, node or job"
          value={filters['search']}
          change={(value) => change('search', value)}
        />
        <Choice
          label="State"
          value={filters['state']}
          options={STATES}
          change={(value) => change('state', value)}
        />
        <Choice
          label="Running"
          value={filters['running']}
          options={RUNNING}
          change={(value) => change('running', value)}
        />
        <Choice
          label="Reason"
          value={filters['reason']}
          options={REASON_OPTIONS}
          change={(value) => change('reason', value)}
        />
        <Choice
          label="Kind"
          value={filters['kind']}
          options={KIND_OPTIONS}
          change={(value) => change('kind', value)}
        />
        <Typed
          label="Node"
          placeholder="Exact name"
          value={filters['node']}
          change={(value) => change('node', value)}
        />
      </div>
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <Section title="Findings" padded={false}>
          <FindingsTable
            caption="Findings by source process"
            findings={findings}
            sorting={sorting}
            empty={
              filtered ? (
                <Empty title="No finding matches these filters">
                  <Button variant="default" size="sm" onClick={() => setParams({})}>
                    Clear the filters
                  </Button>
                </Empty>
              ) : (
                <Empty title="Nothing without a declaration">
                  <p>Every process that was seen on a GPU so far is covered by a declared job.</p>
                </Empty>
              )
            }
          />
          {findings && findings.length > 0 ? (
            <LoadMore
              shown={findings.length}
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
