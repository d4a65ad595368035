/** The first page: is anything wrong? */
import { Anchor, Skeleton } from '@mantine/core';
import { useMemo, useState } from 'react';
import { Link } from 'react-router';
import type { Overview } from '../../api/contract/overview.ts';
import { bucketChart, bucketTable } from '../charts/buckets.ts';
import { partsOf } from '../charts/parts.ts';
import { CompletenessBanner } from '../components/completeness.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Figure } from '../components/figure.tsx';
import { FindingsTable } from '../components/findings-table.tsx';
import { usePaints } from '../components/hatch.ts';
import { Legend } from '../components/legend.tsx';
import { PageHead } from '../components/page-head.tsx';
import { RangePicker, useRange } from '../components/range-picker.tsx';
import { Section } from '../components/section.tsx';
import { Stat } from '../components/stat.tsx';
import { Swatch } from '../components/swatch.tsx';
import { STILL_RUNNING, VerdictStrip } from '../components/verdict.tsx';
import { formatCount, formatGpuHours, formatMoney, UNKNOWN } from '../format.ts';
import { useOverview } from '../queries.ts';
import { useSettings } from '../settings.tsx';
import { toggled } from '../toggled.ts';
import type { SeriesKey } from '../words.ts';

/** Low enough that the worst finding shows below it on a common screen. */
const CHART_HEIGHT_PX = 220;
/** The chart with its legend under it. */
const FIGURE_HEIGHT_PX = CHART_HEIGHT_PX + 40;

type Spell = Overview['today'];

function SpellDetail({ spell }: { spell: Spell }) {
  return (
    <>
      <span>{spell.value ? `worth ${formatMoney(spell.value)}` : 'no rate set'}</span>
      <span className="stat-awaiting">
        <Swatch part="awaiting" />
        {formatGpuHours(spell.provisionalMs, 2)} awaiting record
      </span>
    </>
  );
}

function Stats({ overview }: { overview: Overview | undefined }) {
  // Where nothing was ever booked, none is not zero.
  const unknown = overview?.complete.completeTo === null;
  const spell = (label: string, one: Spell | undefined) =>
    unknown ? (
      <Stat label={label} value={UNKNOWN} detail="nothing booked yet" />
    ) : (
      <Stat
        label={label}
        value={one ? formatGpuHours(one.settledMs, 2) : undefined}
        unit="active GPU-h"
        tone={one && one.settledMs > 0 ? 'bad' : 'plain'}
        detail={one ? <SpellDetail spell={one} /> : null}
      />
    );
  const count = (value: number | undefined) => (value === undefined ? undefined : formatCount(value));
  return (
    <dl className="stats">
      {spell('Unaccounted today (UTC)', overview?.today)}
      {spell('Unaccounted this month (UTC)', overview?.month)}
      <Stat
        label="New since yesterday"
        value={count(overview?.newSinceYesterday)}
        unit={overview?.newSinceYesterday === 1 ? 'finding' : 'findings'}
        detail={
          <Anchor component={Link} to="/unaccounted?sort=firstSeen">
            Newest first
          </Anchor>
        }
      />
      <Stat
        label="Still running"
        value={count(overview?.stillRunning)}
        unit={overview?.stillRunning === 1 ? 'source' : 'sources'}
        detail={
          <Anchor component={Link} to={STILL_RUNNING}>
            Only those running
          </Anchor>
        }
      />
      <Stat
        label="Conflicting claims"
        value={count(overview?.conflicts)}
        unit={overview?.conflicts === 1 ? 'conflict now' : 'conflicts now'}
        detail={
          <Anchor component={Link} to="/conflicts">
            Who claims the same devices
          </Anchor>
        }
      />
    </dl>
  );
}

function totalsOf(overview: Overview): Record<SeriesKey, string> {
  const parts = partsOf(overview.total);
  const text = (key: SeriesKey) => formatGpuHours(parts[key], 1);
  return {
    unaccounted: text('unaccounted'),
    awaiting: text('awaiting'),
    used: text('used'),
    held: text('held'),
    idle: text('idle'),
    unobserved: text('unobserved'),
  };
}

function BucketFigure({ overview }: { overview: Overview | undefined }) {
  const { zone } = useSettings();
  const { paints, ink } = usePaints();
  const [hidden, setHidden] = useState<ReadonlySet<SeriesKey>>(new Set());
  const config = useMemo(
    () => (overview ? bucketChart(overview.series, { zone, paints, ink, hidden }) : null),
    [overview, zone, paints, ink, hidden],
  );
  const table = useMemo(() => (overview ? bucketTable(overview.series, zone) : null), [overview, zone]);
  if (!overview || !config || !table) return <Skeleton height={FIGURE_HEIGHT_PX} />;
  if (overview.total.capacityMs === 0)
    return (
      <div style={{ minHeight: FIGURE_HEIGHT_PX }}>
        <Empty title="No GPU time was booked in this range">
          <p>Choose a longer range, or look whether the agents report.</p>
        </Empty>
      </div>
    );
  const toggle = (key: SeriesKey) => setHidden((before) => toggled(before, key));
  return (
    <Figure
      label="GPU-hours by what happened in them, over time"
      config={config}
      table={table}
      heightPx={CHART_HEIGHT_PX}
      legend={<Legend totals={totalsOf(overview)} hidden={hidden} toggle={toggle} />}
    />
  );
}

/** A site without nodes: the one state in which the numbers below would only confuse. */
function Welcome() {
  return (
    <Section title="No nodes yet">
      <p>
        gpuledger shows what agents report. Make a token for a node and start an agent on it; its GPUs appear
        here within a minute.
      </p>
      <pre className="command">{`npx gpuledger token create --role agent --node NODE
GPULEDGER_TOKEN=… npx gpuledger-agent run --api ${location.origin} --node NODE`}</pre>
      <p className="soft">
        No GPU at hand? <code>npm run demo</code> shows a simulated site.
      </p>
    </Section>
  );
}

const scopeOf = ({ nodes, sources }: Overview): string => {
  const reporting = nodes.total - nodes.silent - nodes.notEnrolled;
  const enrolled = nodes.notEnrolled > 0 ? `, ${nodes.notEnrolled} not enrolled` : '';
  const upToDate = `${sources.total - sources.lagging} of ${sources.total} sources up to date`;
  return `${reporting} of ${nodes.total} nodes report${enrolled} · ${upToDate}`;
};

export function OverviewPage() {
  const range = useRange();
  const { data: overview, error, refetch } = useOverview(range);
  const noNodes = overview?.nodes.total === 0;
  if (error && !overview) {
    return (
      <>
        <PageHead title="Overview" aside={<RangePicker range={range} />} />
        <Failure error={error} retry={() => void refetch()} />
      </>
    );
  }
  return (
    <>
      <CompletenessBanner {...(overview ? { complete: overview.complete, scope: scopeOf(overview) } : {})} />
      <PageHead title="Overview" aside={<RangePicker range={range} />} />
      {noNodes ? (
        <Welcome />
      ) : (
        <>
          <VerdictStrip overview={overview} />
          <Stats overview={overview} />
          <Section title="GPU-hours by what happened in them">
            <BucketFigure overview={overview} />
          </Section>
          <Section
            title="Worst findings"
            padded={false}
            aside={
              <Anchor component={Link} to="/unaccounted">
                All findings
              </Anchor>
            }
          >
            <FindingsTable
              brief
              caption="The findings with the most unaccounted GPU time"
              findings={overview?.worst}
              empty={
                <Empty
                  title={
                    overview?.verdict === 'blind'
                      ? 'Nothing was measured in this range'
                      : 'Nothing without a declaration in this range'
                  }
                />
              }
            />
          </Section>
        </>
      )}
    </>
  );
}
