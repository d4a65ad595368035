/** A node's devices as squares that say what each does now; the same fills as everywhere. */
import type { DeviceOut } from '../../api/contract/fleet.ts';
import { SERIES_LABELS } from '../words.ts';

const NOW_WORDS: Readonly<Record<DeviceOut['now'], string>> = {
  used: SERIES_LABELS.used,
  held: SERIES_LABELS.held,
  unaccounted: SERIES_LABELS.unaccounted,
  idle: SERIES_LABELS.idle,
  unobserved: SERIES_LABELS.unobserved,
  pending: 'Not booked yet',
};

export function nowWords(device: DeviceOut): string {
  return NOW_WORDS[device.now];
}

export function DeviceGrid({ devices }: { devices: readonly DeviceOut[] }) {
  return (
    <span className="device-grid">
      {devices.map((device) => {
        const words = `GPU ${device.index ?? '?'}: ${NOW_WORDS[device.now]}`;
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
