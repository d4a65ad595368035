/**
 * Colours and type. One colour, a strong magenta red, is reserved for settled use that no declaration covers, and stands
 * nowhere else: not on errors, buttons or warnings. The others are told apart by lightness as well as hue, and what is
 * uncertain is hatched, so that no meaning hangs on colour alone.
 */
import { Anchor, type CSSVariablesResolver, createTheme } from '@mantine/core';
import type { Ink } from './charts/parts.ts';
import type { SeriesKey } from './words.ts';

/** A plain fill, or a hatch of `line` over `fill`. */
export interface Fill {
  readonly fill: string;
  readonly line: string | null;
}

interface Palette {
  readonly series: Readonly<Record<SeriesKey, Fill>>;
  /** Settled use of other findings, on the page of one: the reserved colour, hatched. */
  readonly other: Fill;
  readonly ink: Ink;
  /** Idle is so pale that a small square of it needs an outline. */
  readonly idleEdge: string;
  readonly variables: Readonly<Record<string, string>>;
}

const LIGHT: Palette = {
  series: {
    unaccounted: { fill: '#c9004f', line: null },
    awaiting: { fill: '#e9eef5', line: '#5c718c' },
    used: { fill: '#2a6db5', line: null },
    held: { fill: '#a8cbee', line: null },
    idle: { fill: '#e3e7ec', line: null },
    unobserved: { fill: '#f7f8f9', line: '#a9b1bb' },
  },
  other: { fill: '#fdeaf1', line: '#c9004f' },
  idleEdge: '#b9c1ca',
  ink: { text: '#545f6e', grid: '#e4e8ed', surface: '#ffffff' },
  variables: {
    '--surface': '#ffffff',
    '--page': '#f5f7f9',
    '--line': '#dde2e8',
    '--line-soft': '#e9edf1',
    '--text': '#1b2430',
    '--text-soft': '#545f6e',
    '--link': '#1d5fa8',
    '--focus': '#1d5fa8',
    '--ok': '#0f766e',
    '--warn': '#8a5a00',
    '--warn-soft': '#fff6e0',
    '--warn-line': '#e0b252',
    '--unaccounted-text': '#b30046',
    '--unaccounted-soft': '#fdeaf1',
    '--on-unaccounted': '#ffffff',
    '--verdict-unaccounted': '#c9004f',
    '--hover': '#f0f4f8',
  },
};

const DARK: Palette = {
  series: {
    unaccounted: { fill: '#ff3f86', line: null },
    awaiting: { fill: '#2a3442', line: '#8ba3c2' },
    used: { fill: '#4d94dd', line: null },
    held: { fill: '#29527d', line: null },
    idle: { fill: '#353d47', line: null },
    unobserved: { fill: '#1b2027', line: '#59636f' },
  },
  other: { fill: '#371523', line: '#ff3f86' },
  idleEdge: '#55606d',
  ink: { text: '#a5b0bd', grid: '#2b333d', surface: '#171c22' },
  variables: {
    '--surface': '#171c22',
    '--page': '#0f1318',
    '--line': '#2f3842',
    '--line-soft': '#262e37',
    '--text': '#e6ebf1',
    '--text-soft': '#a5b0bd',
    '--link': '#84bbf5',
    '--focus': '#84bbf5',
    '--ok': '#4fc3b5',
    '--warn': '#f0c565',
    '--warn-soft': '#2c2413',
    '--warn-line': '#7d6120',
    '--unaccounted-text': '#ff7fae',
    '--unaccounted-soft': '#371523',
    '--on-unaccounted': '#22000d',
    '--verdict-unaccounted': '#b0114f',
    '--hover': '#1f262e',
  },
};

export type Scheme = 'light' | 'dark';
export const PALETTES: Readonly<Record<Scheme, Palette>> = { light: LIGHT, dark: DARK };

function variablesOf(palette: Palette): Record<string, string> {
  const series = Object.entries({ ...palette.series, other: palette.other }).flatMap(
    ([key, { fill, line }]) => [
      [`--${key}`, line === null ? fill : hatchCss(fill, line)],
      [`--${key}-edge`, line ?? (key === 'idle' ? palette.idleEdge : fill)],
    ],
  );
  return { ...palette.variables, ...Object.fromEntries(series) };
}

const hatchCss = (fill: string, line: string): string =>
  `repeating-linear-gradient(135deg, ${line} 0 1.5px, ${fill} 1.5px 5px)`;

/** Puts the palettes where CSS finds them: `var(--used)`, `var(--line)` and so on. */
export const resolveVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: { ...variablesOf(LIGHT), '--mantine-color-body': '#f5f7f9', '--mantine-color-text': '#1b2430' },
  dark: { ...variablesOf(DARK), '--mantine-color-body': '#0f1318', '--mantine-color-text': '#e6ebf1' },
});

export const theme = createTheme({
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace',
  primaryColor: 'blue',
  primaryShade: { light: 8, dark: 5 },
  /** Mantine's own dark greys are neutral; these match the palette's. */
  colors: {
    dark: [
      '#e6ebf1',
      '#c5ced8',
      '#a5b0bd',
      '#7f8b99',
      '#3a4550',
      '#2a323b',
      '#1b2128',
      '#171c22',
      '#11161b',
      '#0f1318',
    ],
  },
  autoContrast: true,
  defaultRadius: 'sm',
  respectReducedMotion: true,
  focusRing: 'auto',
  components: { Anchor: Anchor.extend({ defaultProps: { inherit: true } }) },
});
