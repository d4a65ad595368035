/** Fills for charts: plain colours, and hatches as canvas patterns that look like their CSS counterparts. */
import { useComputedColorScheme } from '@mantine/core';
import { useMemo } from 'react';
import type { Ink, Paints } from '../charts/parts.ts';
import { type Fill, PALETTES } from '../theme.ts';
import type { SeriesKey } from '../words.ts';

const TILE_PX = 7;

/** A repeating tile of diagonal lines; the plain fill where the browser gives no canvas. */
function paintOf({ fill, line }: Fill): string | CanvasPattern {
  if (line === null) return fill;
  const tile = document.createElement('canvas');
  tile.width = TILE_PX;
  tile.height = TILE_PX;
  const context = tile.getContext('2d');
  if (!context) return fill;
  context.fillStyle = fill;
  context.fillRect(0, 0, TILE_PX, TILE_PX);
  context.strokeStyle = line;
  context.lineWidth = 1.3;
  context.beginPath();
  for (const shift of [-TILE_PX, 0, TILE_PX]) {
    context.moveTo(shift - 1, TILE_PX + 1);
    context.lineTo(shift + TILE_PX + 1, -1);
  }
  context.stroke();
  return context.createPattern(tile, 'repeat') ?? fill;
}

/** Paints and ink of the present colour scheme. */
export function usePaints(): { readonly paints: Paints; readonly ink: Ink } {
  const scheme = useComputedColorScheme('light');
  return useMemo(() => {
    const { series, other, ink } = PALETTES[scheme];
    const paint = (key: SeriesKey) => paintOf(series[key]);
    const paints: Paints = {
      unaccounted: paint('unaccounted'),
      awaiting: paint('awaiting'),
      used: paint('used'),
      held: paint('held'),
      idle: paint('idle'),
      unobserved: paint('unobserved'),
      other: paintOf(other),
    };
    return { paints, ink };
  }, [scheme]);
}
