/** What each device of a finding did over time, with the source's share lowest. */
import { useMemo } from 'react';
import {
  type Timeline,
  type TimelineOptions,
  timelineChart,
  timelinePart,
  timelineTable,
} from '../charts/device-timeline.ts';
import { useSettings } from '../settings.tsx';
import { Figure } from './figure.tsx';
import { usePaints } from './hatch.ts';
import { Swatch } from './swatch.tsx';
import { Untrusted } from './untrusted.tsx';

const CHART_HEIGHT_PX = 170;

function DeviceTimeline({ timeline, settled }: { timeline: Timeline; settled: boolean }) {
  const { zone } = useSettings();
  const { paints, ink } = usePaints();
  const options: TimelineOptions = useMemo(
    () => ({ zone, paints, ink, settled }),
    [zone, paints, ink, settled],
  );
  const config = useMemo(() => timelineChart(timeline, options), [timeline, options]);
  const table = useMemo(() => timelineTable(timeline, zone), [timeline, zone]);
  const name = `GPU ${timeline.index ?? '?'}`;
  const legend = (
    <div className="legend">
      {timeline.series.map((series) => (
        <span key={`${series.kind} ${series.label}`} className="legend-item legend-still">
          <Swatch part={timelinePart(series.kind, settled)} />
          <Untrusted text={series.label} maxChars={48} />
        </span>
      ))}
    </div>
  );
  return (
    <div className="timeline">
      <h3>
        {name}{' '}
        <span className="soft small mono">
          <Untrusted text={timeline.device} maxChars={48} />
        </span>
      </h3>
      <Figure
        label={`Shares of ${name} over time`}
        config={config}
        table={table}
        heightPx={CHART_HEIGHT_PX}
        legend={legend}
      />
    </div>
  );
}

export function DeviceTimelines({
  timelines,
  settled,
}: {
  timelines: readonly Timeline[];
  settled: boolean;
}) {
  return (
    <div className="timelines">
      {timelines.map((timeline) => (
        <DeviceTimeline key={timeline.device} timeline={timeline} settled={settled} />
      ))}
    </div>
  );
}
