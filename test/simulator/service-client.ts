/** The service over HTTP, as the schedulers and the administrators of the simulated site use it. */
import { z } from 'zod';
import { Sums } from '../../api/contract/ledger.ts';
import { Completeness, Problem } from '../../api/contract/primitives.ts';

const REQUEST_TIMEOUT_MS = 60_000;

export interface ServiceClient {
  /** Throws an `Error` with the problem's detail for every answer but success and those in `accept`. */
  send<T>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH',
    path: string,
    answer: z.ZodType<T>,
    body?: unknown,
  ): Promise<T>;
}

export function createServiceClient(url: string, token: string): ServiceClient {
  return {
    async send(method, path, answer, body) {
      const response = await fetch(url + path, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${problemText(text)}`);
      return answer.parse(text === '' ? null : JSON.parse(text));
    },
  };
}

function problemText(text: string): string {
  try {
    const { detail, errors = [] } = Problem.parse(JSON.parse(text));
    return [detail, ...errors.map(({ field, message }) => `${field} ${message}`)].join('; ');
  } catch {
    return text.slice(0, 500);
  }
}

export const Ignored = z.unknown();
export const DeclaredJob = z.object({ id: z.string() });
export const LedgerTotal = z.object({ total: Sums, complete: Completeness });
