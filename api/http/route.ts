/** One description of a route serves twice: `router.ts` registers it with express, `openapi.ts` documents it. */
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Caller } from '../domain/caller.ts';
import type { Permission } from './access.ts';
import { invalidFields, invalidInput } from './problem.ts';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** What a handler is given: input that its schemas have passed. */
interface Call<P, Q, B> {
  readonly caller: Caller;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly request: Request;
  readonly response: Response;
  /** Whether the token or session may still use this route: for answers that last. */
  stillAllowed(): Promise<boolean>;
}

/** JSON that fits the route's schema, text of another type, or `sent`: the handler has written the answer itself. */
export type Reply<R> =
  | { readonly json: R; readonly status?: number }
  | { readonly text: string; readonly contentType: string; readonly fileName: string }
  | 'sent';

export const NO_PARAMS = z.object({});
export const NO_QUERY = z.object({});
export const NO_BODY = z.undefined();

interface Shape {
  readonly id: string;
  readonly method: Method;
  /** With parameters in braces, as OpenAPI writes them. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** `open`: anybody who reaches the port. */
  readonly access: Permission | 'open';
  /** Requests that need no token although others do. */
  readonly openTo?: (request: Request) => boolean;
  /** What the body is, where `body` leaves the check to a service. */
  readonly documentedBody?: z.ZodType;
  /** Largest body after decompression. Set where there is a body. */
  readonly bodyLimitBytes?: number;
  /** At most this many requests of one token at once. */
  readonly concurrencyPerToken?: number;
  /** What the answer is, by status. */
  readonly answers: Readonly<Record<number, string>>;
  /** Content types beside, or instead of, JSON. */
  readonly contentTypes?: readonly string[];
}

interface Spec<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>
  extends Shape {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly answer: R;
  handle(call: Call<z.output<P>, z.output<Q>, z.output<B>>): Promise<Reply<z.input<R>>>;
}

/** A route whose input types are sealed inside, so that routes of all kinds fit in one table. */
export interface Route extends Shape {
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
  /** Checks the input, throws a problem that names the fields, or handles the call. */
  run(call: Bare): Promise<Reply<unknown>>;
}

/** A call whose input has not been checked. */
export type Bare = Pick<Call<unknown, unknown, unknown>, 'caller' | 'request' | 'response' | 'stillAllowed'>;

function checked<S extends z.ZodType>(
  schema: S,
  value: unknown,
  part: 'query' | 'path' | 'body',
): z.output<S> {
  const result = schema.safeParse(value);
  if (!result.success) throw invalidInput(result.error, part);
  return result.data;
}

/** A misspelt filter must not answer as if it were not there. */
function refuseUnknown(schema: z.ZodObject, query: object): void {
  const unknown = Object.keys(query).filter((name) => !Object.hasOwn(schema.shape, name));
  if (unknown.length === 0) return;
  throw invalidFields(unknown.map((field) => ({ field, message: 'is not known here' })));
}

/** Types a route's handler by its schemas. */
export function route<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
  spec: Spec<P, Q, B, R>,
): Route {
  return {
    ...spec,
    async run({ request, ...bare }) {
      refuseUnknown(spec.query, request.query);
      const body: unknown = request.body;
      return spec.handle({
        ...bare,
        params: checked(spec.params, request.params, 'path'),
        query: checked(spec.query, request.query, 'query'),
        body: checked(spec.body, body, 'body'),
        request,
      });
    },
  };
}
