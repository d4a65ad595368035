/** Cursors: where the next page of a list starts. Opaque to callers, checked when they come back. */
import type { z } from 'zod';
import { ServiceError } from '../errors.ts';

const encodeCursor = (position: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify(position), 'utf8').toString('base64url');

function decoded(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

/** Throws `invalid` for a cursor that no list of this kind gave. */
export function decodeCursor<T>(schema: z.ZodType<T>, cursor: string | undefined): T | null {
  if (cursor === undefined) return null;
  const result = schema.safeParse(decoded(cursor));
  if (result.success) return result.data;
  throw new ServiceError('invalid', 'The cursor is not one that this list gave', [
    { field: 'cursor', message: 'must be `nextCursor` of the page before' },
  ]);
}

/** One row more than the page was asked for tells that there is another page. */
export function cutPage<T>(
  rows: readonly T[],
  limit: number,
  position: (last: T) => readonly (string | number)[],
): { rows: readonly T[]; nextCursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { rows: page, nextCursor: rows.length > limit && last ? encodeCursor(position(last)) : null };
}

/** A search box that holds only spaces asks for nothing. */
export const searchText = (text: string | undefined): string | null => text?.trim() || null;
