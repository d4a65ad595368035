/** Chooses a time range by changing the address, so that a link shows what its sender saw. */
import { SegmentedControl } from '@mantine/core';
import { useMemo } from 'react';
import { useSearchParams } from 'react-router';
import { PRESET_LABELS, PRESETS, type Preset, parseRange, type TimeRange, withPreset } from '../range.ts';
import { useSettings } from '../settings.tsx';
import { Moment } from './moment.tsx';

const HOUR_MS = 3_600_000;

/** The range of the present address; the same object until the address or the hour changes. */
export function useRange(fallback: Preset = '24h'): TimeRange {
  const [params] = useSearchParams();
  const { nowMs } = useSettings();
  const hourMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS + 1;
  return useMemo(() => parseRange(params, hourMs, fallback), [params, hourMs, fallback]);
}

export function RangePicker({ range }: { range: TimeRange }) {
  const [, setParams] = useSearchParams();
  return (
    <div className="range-picker">
      {range.preset === null ? (
        <span className="soft">
          <Moment iso={new Date(range.fromMs).toISOString()} /> to{' '}
          <Moment iso={new Date(range.toMs).toISOString()} />
        </span>
      ) : null}
      {range.problem ? (
        <span className="note-warn" role="alert">
          {range.problem}
        </span>
      ) : null}
      <SegmentedControl
        aria-label="Time range"
        size="xs"
        value={range.preset ?? ''}
        data={PRESETS.map((preset) => ({ value: preset, label: PRESET_LABELS[preset] }))}
        onChange={(value) => {
          const preset = PRESETS.find((known) => known === value);
          if (preset) setParams((params) => withPreset(params, preset), { preventScrollReset: true });
        }}
      />
    </div>
  );
}
