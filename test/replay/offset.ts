/** Times of a scenario: seconds from its start, as a number, or as text such as "1h30m", "-2h" or "250ms". */
import { z } from 'zod';

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const TEXT = /^-?(?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+$/;
const PART = /(\d+(?:\.\d+)?)(d|h|ms|m|s)/g;

/** Milliseconds of "1h30m"; null for what is none. */
function textToMs(text: string): number | null {
  if (!TEXT.test(text)) return null;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(PART)) ms += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  return Math.round(text.startsWith('-') ? -ms : ms);
}

const NO_TIME = 'must be a time from the start: seconds such as 600, or text such as "1h30m", "-2h", "250ms"';
/** Milliseconds from the start of the scenario. */
export const Offset = z
  .union([z.number(), z.string().regex(TEXT, NO_TIME)], { error: NO_TIME })
  .transform((value) => (typeof value === 'number' ? Math.round(value * 1000) : (textToMs(value) ?? 0)))
  .meta({ description: 'Seconds from the start, or text such as "1h30m", "-2h", "250ms"' });

const SIZE_UNITS: Readonly<Record<string, number>> = { MiB: 1, GiB: 1024 };
const SIZE = /^(\d+(?:\.\d+)?)(MiB|GiB)$/;

/** MiB. */
export const MemorySize = z
  .string('must be a size such as "62GiB" or "400MiB"')
  .regex(SIZE, 'must be a size such as "62GiB" or "400MiB"')
  .transform((text) => {
    const [, amount, unit] = SIZE.exec(text) ?? [];
    return Math.round(Number(amount) * (SIZE_UNITS[unit ?? ''] ?? 0));
  })
  .meta({ description: 'Such as "62GiB" or "400MiB"' });

const RANGE = /^\d{1,2}(?:-\d{1,2})?(?:,\d{1,2}(?:-\d{1,2})?)*$/;

const NO_GPUS = 'must be GPUs: an index such as 3, or text such as "0-5" or "0,2,4-7"';
/** Indexes of a node's GPUs: a number, or text such as "0-5" or "0,2,4-7". */
export const Indexes = z
  .union([z.int().min(0).max(63), z.string().regex(RANGE, NO_GPUS)], { error: NO_GPUS })
  .transform((value) => {
    if (typeof value === 'number') return [value];
    return value.split(',').flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
    });
  })
  .meta({ description: 'A GPU index, or text such as "0-5" or "0,2,4-7"' });
