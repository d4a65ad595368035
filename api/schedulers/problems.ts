/** What a source could not use: each thing once for as long as it is said, the newest ones kept. */
import { SOURCE_LIMITS } from '../contract/sources.ts';
import type { SourceProblem } from './source.ts';

/** What was not said again for so long has passed. */
const LASTS_MS = 60 * 60_000;
const SUBJECT_CHARS = 300;
const MESSAGE_CHARS = 1000;
const CUT_CHARS = 20_000;

interface Kept {
  readonly atMs: number;
  readonly subject: string | null;
  readonly message: string;
}

export interface Problems {
  /** True where it was not known, and is not one of very many. */
  add(problem: SourceProblem, nowMs: number): boolean;
  /** The newest first, and how many there are. */
  list(nowMs: number): { readonly problems: readonly Kept[]; readonly count: number };
}

/** `secrets` are never shown, whatever says them. */
export function createProblems(secrets: readonly string[]): Problems {
  const kept = new Map<string, Kept>();
  /** Those that had no room, by how often. */
  let dropped = 0;
  const clean = (text: string, chars: number): string =>
    hide(text.slice(0, CUT_CHARS), secrets)
      .replace(/[\p{Cc}\p{Cs}]+/gu, ' ')
      .trim()
      .slice(0, chars);

  return {
    add(problem, nowMs) {
      const subject = problem.subject === null ? null : clean(problem.subject, SUBJECT_CHARS);
      const message = clean(problem.message, MESSAGE_CHARS) || 'it failed, and does not say why';
      const key = JSON.stringify([subject, message]);
      const isNew = !kept.delete(key);
      kept.set(key, { atMs: nowMs, subject, message });
      for (const oldest of kept.keys()) {
        if (kept.size <= SOURCE_LIMITS.problems) break;
        kept.delete(oldest);
        dropped += 1;
      }
      return isNew && dropped === 0;
    },
    list(nowMs) {
      for (const [key, { atMs }] of kept) if (nowMs - atMs > LASTS_MS) kept.delete(key);
      if (kept.size < SOURCE_LIMITS.problems) dropped = 0;
      return { problems: [...kept.values()].reverse(), count: kept.size + dropped };
    },
  };
}

/** Who signs in by an address: http://name:password@host. */
const SIGN_IN = /:\/\/[^\s/@"']+@/g;

/** Text without the secrets that stand in it. */
export function hide(text: string, secrets: readonly string[]): string {
  let shown = text.replace(SIGN_IN, '://[redacted]@');
  for (const secret of secrets) if (secret.length > 0) shown = shown.replaceAll(secret, '[redacted]');
  return shown;
}
