/** What a reader chose for this browser: the zone of moments, and the clock that relative times count from. */

import { useInterval } from '@mantine/hooks';
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from 'react';
import type { Zone } from './format.ts';

const ZONE_KEY = 'gpuledger-zone';
const TICK_MS = 15_000;

interface Settings {
  readonly zone: Zone;
  readonly setZone: (zone: Zone) => void;
  /** The present, in steps of `TICK_MS`, so that a page's relative times move together. */
  readonly nowMs: number;
}

const SettingsContext = createContext<Settings | null>(null);

function storedZone(): Zone {
  try {
    return localStorage.getItem(ZONE_KEY) === 'local' ? 'local' : 'utc';
  } catch {
    return 'utc';
  }
}

export function SettingsProvider({ children }: { children: ReactNode }) {
  const [zone, keepZone] = useState(storedZone);
  const [nowMs, setNowMs] = useState(() => Date.now());
  useInterval(() => setNowMs(Date.now()), TICK_MS, { autoInvoke: true });
  const setZone = useCallback((next: Zone) => {
    keepZone(next);
    try {
      localStorage.setItem(ZONE_KEY, next);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
  }, []);
  const settings = useMemo(() => ({ zone, setZone, nowMs }), [zone, setZone, nowMs]);
  return <SettingsContext value={settings}>{children}</SettingsContext>;
}

export function useSettings(): Settings {
  const settings = useContext(SettingsContext);
  if (!settings) throw new Error('useSettings needs a SettingsProvider');
  return settings;
}
