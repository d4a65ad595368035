/** RFC 9457 problems: the one table of codes, and the way from any thrown error to an answer. */
import type { ErrorRequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Problem } from '../contract/primitives.ts';
import { ServiceError, type ServiceErrorCode } from '../services/errors.ts';

export interface FieldError {
  field: string;
  message: string;
}

/**
 * Every code that an answer can carry: its HTTP status, its title, and what to do about it. Services throw by code, never
 * by status. `/docs/problems` and docs/API.md are made from this.
 */
export const PROBLEMS = {
  invalid: {
    status: 400,
    title: 'The request is not valid',
    remedy: '`errors` names each member that is wrong, and why. Sending the same again gives the same.',
  },
  malformed: {
    status: 400,
    title: 'The body is not JSON',
    remedy: 'It does not parse or decompress, or it ended early. Look at what was sent.',
  },
  unauthenticated: {
    status: 401,
    title: 'Sign in, or send a token',
    remedy: 'Send `Authorization: Bearer …`, or open a new sign-in link. The token may have been revoked.',
  },
  forbidden: {
    status: 403,
    title: 'This role may not do that',
    remedy:
      'Use a token of a role that may; SECURITY.md has the table. Pages: send changes from the same origin.',
  },
  not_found: {
    status: 404,
    title: 'There is no such thing',
    remedy: 'It never was, or this role may not see it: the two are not told apart.',
  },
  method_not_allowed: {
    status: 405,
    title: 'This address does not take that method',
    remedy: 'The header `Allow` lists those that it takes.',
  },
  conflict: {
    status: 409,
    title: 'It conflicts with what is recorded',
    remedy: 'Read what is recorded, and decide again.',
  },
  too_large: {
    status: 413,
    title: 'The request is too large',
    remedy: 'Send it in parts. The limit counts what a compressed body becomes.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body must be JSON',
    remedy: 'Send application/json in UTF-8, compressed as gzip, deflate, br, zstd or not at all.',
  },
  too_many: {
    status: 429,
    title: 'Too many requests at once',
    remedy: 'Wait for the seconds of `Retry-After`, and send fewer at a time.',
  },
  internal: {
    status: 500,
    title: 'The service failed',
    remedy: 'A fault of the service. Its log says why; please report that.',
  },
  unavailable: {
    status: 503,
    title: 'The service cannot answer now',
    remedy: 'Overloaded, or its database does not answer. Come again after the seconds of `Retry-After`.',
  },
} as const;
export type ProblemCode = keyof typeof PROBLEMS;

/** An error of the HTTP layer itself. */
export class HttpProblem extends Error {
  readonly code: ProblemCode;
  readonly errors: readonly FieldError[];
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    code: ProblemCode,
    detail: string,
    more: { errors?: readonly FieldError[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail);
    this.name = 'HttpProblem';
    this.code = code;
    this.errors = more.errors ?? [];
    this.headers = more.headers ?? {};
  }
}

const SERVICE_CODES: Record<ServiceErrorCode, ProblemCode> = {
  invalid: 'invalid',
  forbidden: 'forbidden',
  not_found: 'not_found',
  conflict: 'conflict',
  unavailable: 'unavailable',
};

/** At most this many field errors are listed, and this much of each name: both come from whoever asks. */
const FIELD_ERRORS_MAX = 50;
const FIELD_CHARS_MAX = 200;
const NAMED_MAX = 5;
/** How soon to come again where a problem says nothing of its own. */
const RETRY_AFTER_SECONDS = '2';

const cut = (text: string): string =>
  text.length > FIELD_CHARS_MAX ? `${text.slice(0, FIELD_CHARS_MAX)}…` : text;

/** The problem for members that are wrong; `found` may be endless. */
export function invalidFields(found: readonly FieldError[]): HttpProblem {
  const errors = found
    .slice(0, FIELD_ERRORS_MAX)
    .map(({ field, message }) => ({ field: cut(field), message }));
  const names = [...new Set(errors.map((one) => one.field))].slice(0, NAMED_MAX).join(', ');
  return new HttpProblem('invalid', `Not valid: ${names}`, { errors });
}

/** The problem for input that a schema refused. `part` names the place where a whole value is missing. */
export function invalidInput(error: z.ZodError, part: 'query' | 'path' | 'body'): HttpProblem {
  return invalidFields(
    error.issues.slice(0, FIELD_ERRORS_MAX).flatMap((issue): FieldError[] => {
      const at = issue.path.map(String).join('.');
      if (issue.code === 'unrecognized_keys')
        return issue.keys.slice(0, FIELD_ERRORS_MAX).map((key) => ({
          field: at === '' ? key : `${at}.${key}`,
          message: 'is not known here',
        }));
      return [{ field: at === '' ? part : at, message: issue.message }];
    }),
  );
}

/** What body-parser throws, by its documented `type`. */
const BODY_ERRORS: Readonly<Record<string, [ProblemCode, string]>> = {
  'entity.parse.failed': ['malformed', 'The body could not be read as JSON'],
  'entity.too.large': ['too_large', 'The body is larger than this address takes'],
  'encoding.unsupported': [
    'unsupported_media_type',
    'Content-Encoding must be gzip, deflate, br, zstd or identity',
  ],
  'charset.unsupported': ['unsupported_media_type', 'The body must be UTF-8'],
  'request.aborted': ['malformed', 'The body ended early'],
  'request.size.invalid': ['malformed', 'The body is not as long as Content-Length says'],
};

/** A full disk is no bug of ours and passes: agents keep what they have, and come again. */
const isFullDisk = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(SQLITE_FULL|ENOSPC)$/.test(String(error.code));

/** Turns anything thrown into a problem; null for what nobody expected. */
function expected(error: unknown): HttpProblem | null {
  if (error instanceof HttpProblem) return error;
  if (error instanceof ServiceError)
    return new HttpProblem(SERVICE_CODES[error.code], error.message, { errors: error.errors });
  if (error instanceof URIError)
    return new HttpProblem('invalid', 'The address is not valid UTF-8', {
      errors: [{ field: 'path', message: 'must be valid UTF-8' }],
    });
  if (error instanceof Error && 'type' in error && typeof error.type === 'string') {
    const known = BODY_ERRORS[error.type];
    if (known) return new HttpProblem(known[0], known[1], { errors: [{ field: 'body', message: known[1] }] });
  }
  // A body that is not valid gzip, brotli or zstd fails in zlib, whose errors have codes such as Z_DATA_ERROR.
  if (error instanceof Error && 'code' in error && /^(Z_|ERR__|ERR_BROTLI|ZSTD_)/.test(String(error.code)))
    return new HttpProblem('malformed', 'The body does not decompress', {
      errors: [{ field: 'body', message: 'does not decompress' }],
    });
  return null;
}

function sendProblem(response: Response, problem: HttpProblem): void {
  const { status, title } = PROBLEMS[problem.code];
  const body: Problem = {
    type: `/docs/problems#${problem.code}`,
    title,
    status,
    detail: problem.message,
    code: problem.code,
    ...(problem.errors.length > 0 ? { errors: [...problem.errors] } : {}),
  };
  if (status === 429 || status === 503) response.set('Retry-After', RETRY_AFTER_SECONDS);
  response.status(status).set(problem.headers).set('Cache-Control', 'no-store');
  response.type('application/problem+json').send(JSON.stringify(body));
}

/** Express's last stop: expected errors become problems, others are logged and say nothing of the inside. */
export function problemHandler(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    let problem = expected(error);
    if (isFullDisk(error)) {
      const full = 'The disk of the service is full';
      log.error({ method: request.method, path: request.path }, full);
      problem = new HttpProblem('unavailable', full);
    } else if (problem === null) {
      log.error({ err: error, method: request.method, path: request.path }, 'request failed');
      problem = new HttpProblem('internal', 'The service failed. Its log says why.');
    }
    if (response.headersSent) next(error);
    else sendProblem(response, problem);
  };
}
