/** A node's devices as squares that say what each does now; the same fills as everywhere. */
import type { DeviceNow, NodeOut } from '../../api/contract/fleet.ts';
import { SERIES_LABELS } from '../words.ts';

const NOW_WORDS: Readonly<Record<DeviceNow, string>> = {
  used: SERIES_LABELS.used,
  held: SERIES_LABELS.held,
  unaccounted: SERIES_LABELS.unaccounted,
  idle: SERIES_LABELS.idle,
  unobserved: SERIES_LABELS.unobserved,
  pending: 'Not booked yet',
};

export const nowWords = (now: DeviceNow): string => NOW_WORDS[now];

export function DeviceGrid({ devices }: { devices: NodeOut['devicesNow'] }) {
  return (
    <span className="device-grid">
      {devices.map((device) => {
        const words = `GPU ${device.index ?? '?'}: ${nowWords(device.now)}`;
        return (
          <span
            key={device.uuid}
            role="img"
            className={`device part-${device.now}`}
            aria-label={words}
            title={words}
          >
            {device.index ?? '?'}
          </span>
        );
      })}
    </span>
  );
}
