/** Nodes: their devices now, how well the last day was covered, and whether their agents report. */
import { Anchor } from '@mantine/core';
import { useEffect } from 'react';
import { Link, useLocation } from 'react-router';
import type { NodeOut } from '../../api/contract/fleet.ts';
import type { SourceOut } from '../../api/contract/sources.ts';
import { AgentHealth } from '../components/agent-health.tsx';
import { Badge, ModeBadge } from '../components/badges.tsx';
import { type Column, DataTable, LoadMore } from '../components/data-table.tsx';
import { DeviceGrid } from '../components/device-grid.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Typed, useFilters } from '../components/filters.tsx';
import { FleetTools } from '../components/fleet-tools.tsx';
import { Ago, Moment } from '../components/moment.tsx';
import { PageHead } from '../components/page-head.tsx';
import { Section } from '../components/section.tsx';
import { SitePolicy } from '../components/site-policy.tsx';
import { SumsBar } from '../components/sums-bar.tsx';
import { Swatch } from '../components/swatch.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatCount, formatDuration, formatPercent } from '../format.ts';
import { useNodes, useSources } from '../queries.ts';
import { SERIES, SERIES_LABELS } from '../words.ts';

const FILTERS = ['search'] as const;

const COLUMNS: readonly Column<NodeOut>[] = [
  {
    key: 'node',
    head: 'Node',
    cell: (node) => (
      <div>
        <Anchor component={Link} to={`/nodes/${encodeURIComponent(node.name)}`}>
          <Untrusted text={node.name} maxChars={32} focusable={false} />
        </Anchor>{' '}
        <ModeBadge mode={node.mode} />
        <div className="soft small">
          <Untrusted text={node.models.join(', ')} maxChars={40} focusable={false} />
        </div>
      </div>
    ),
  },
  { key: 'agent', head: 'Agent', cell: (node) => <AgentHealth node={node} /> },
  {
    key: 'devices',
    head: 'Devices now',
    cell: (node) =>
      node.devices === 0 ? <span className="soft">No GPUs</span> : <DeviceGrid devices={node.devicesNow} />,
  },
  {
    key: 'coverage',
    head: 'Measured, 24 h',
    numeric: true,
    hint: 'Share of the last 24 hours’ capacity with trustworthy readings',
    cell: ({ last24h }) => formatPercent(last24h.capacityMs - last24h.unobservedMs, last24h.capacityMs),
  },
  {
    key: 'bar',
    head: 'Last 24 hours',
    cell: (node) => <SumsBar sums={node.last24h} label="Last 24 hours" />,
  },
  {
    key: 'problems',
    head: 'Problems',
    cell: (node) => {
      const newest = node.problems[0];
      if (!newest) return <span className="soft">None</span>;
      return (
        <div className="small">
          <Untrusted text={newest.message} maxChars={48} />
          <div className="soft">
            <Ago iso={newest.at} />
            {node.problems.length > 1 ? `, and ${node.problems.length - 1} more` : ''}
          </div>
        </div>
      );
    },
  },
];

const SOURCES: readonly Column<SourceOut>[] = [
  {
    key: 'source',
    head: 'Source',
    cell: (source) => (
      <span>
        <Untrusted text={source.source} maxChars={32} />{' '}
        <span className="soft">
          <Untrusted text={source.sourceInstance} maxChars={32} />
        </span>
      </span>
    ),
  },
  {
    key: 'state',
    head: 'State',
    cell: (source) => (
      <div>
        <SourceState source={source} />
        {source.suspect && (
          <div className="small">
            {formatCount(source.suspect.nodes)} nodes used without a job since it stopped
          </div>
        )}
      </div>
    ),
  },
  {
    key: 'complete',
    head: 'Complete to',
    cell: (source) => <Moment iso={source.completeTo} precision="second" />,
  },
  {
    key: 'lag',
    head: 'Behind',
    numeric: true,
    cell: (source) => (source.lagMs === null ? '–' : formatDuration(source.lagMs)),
  },
  { key: 'jobs', head: 'Jobs', numeric: true, cell: (source) => formatCount(source.jobs) },
  { key: 'heard', head: 'Last heard', cell: (source) => <Ago iso={source.lastHeard} /> },
  {
    key: 'problems',
    head: 'Problems',
    cell: ({ health }) => {
      const newest = health?.problems[0];
      if (!health || !newest) return <span className="soft">None</span>;
      return (
        <div className="small">
          <Untrusted text={newest.subject ?? 'The source'} maxChars={32} />:{' '}
          <Untrusted text={newest.message} maxChars={96} />
          <div className="soft">
            <Ago iso={newest.at} />
            {health.problemCount > 1 ? `, and ${formatCount(health.problemCount - 1)} more` : ''}
          </div>
        </div>
      );
    },
  },
];

function SourceState({ source: { health, lagging, suspect } }: { source: SourceOut }) {
  if (suspect) return <Badge tone="warn">Suspect</Badge>;
  if (health?.silent) return <Badge tone="warn">Runner silent</Badge>;
  if (health?.state === 'failing') return <Badge tone="warn">Fails, tried again</Badge>;
  if (lagging) return <Badge tone="warn">Lags</Badge>;
  return <Badge tone="ok">Up to date</Badge>;
}

function Sources() {
  const { data, error, refetch } = useSources();
  const { hash } = useLocation();
  const loaded = data !== undefined;
  useEffect(() => {
    if (hash === '#sources' && loaded) document.getElementById('sources')?.scrollIntoView();
  }, [hash, loaded]);
  return (
    <div id="sources">
      <Section
        title="Sources of declarations"
        hint="A verdict waits until every source that could still declare the time has answered."
        padded={false}
      >
        {error && !data ? (
          <Failure error={error} retry={() => void refetch()} />
        ) : (
          <DataTable
            caption="Sources of declarations and how complete they are"
            columns={SOURCES}
            rows={data?.items}
            rowKey={(source) => `${source.source} ${source.sourceInstance}`}
            placeholders={2}
            empty={<Empty title="No source has declared anything yet" />}
          />
        )}
      </Section>
    </div>
  );
}

function Key() {
  return (
    <div className="legend">
      {SERIES.map((key) => (
        <span key={key} className="legend-item legend-still">
          <Swatch part={key} />
          {SERIES_LABELS[key]}
        </span>
      ))}
    </div>
  );
}

export function NodesPage() {
  const [filters, change] = useFilters(FILTERS);
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useNodes(filters);
  const nodes = data?.pages.flatMap((page) => page.items);
  return (
    <>
      <PageHead title="Nodes" lead="What each GPU does now, and how well the last day was watched." />
      <div className="filters">
        <Typed
          label="Search"
          placeholder="Part of a node’s name"
          value={filters['search']}
          change={(value) => change('search', value)}
        />
      </div>
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <Section title="Nodes" aside={<Key />} padded={false}>
          <DataTable
            caption="Nodes, their devices and agents"
            columns={COLUMNS}
            rows={nodes}
            rowKey={(node) => node.name}
            empty={
              <Empty title={filters['search'] ? 'No node matches' : 'No node yet'}>
                <p>A node appears when its agent reports, or when a fleet list names it:</p>
                <pre className="command">{`npx gpuledger token create --role agent --node NODE
npx gpuledger fleet import fleet.csv`}</pre>
              </Empty>
            }
          />
          {nodes && nodes.length > 0 ? (
            <LoadMore
              shown={nodes.length}
              more={hasNextPage}
              loading={isFetchingNextPage}
              load={() => void fetchNextPage()}
            />
          ) : null}
        </Section>
      )}
      <FleetTools />
      <Sources />
      <SitePolicy />
    </>
  );
}
