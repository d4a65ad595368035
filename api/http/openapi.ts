/** The OpenAPI document, from the same table that registers the routes. */
import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathItemObject } from 'zod-openapi';
import { Problem } from '../contract/primitives.ts';
import { ACCESS } from './access.ts';
import { PROBLEMS } from './problem.ts';
import type { Route } from './route.ts';

const PROBLEM_CONTENT = { 'application/problem+json': { schema: Problem } };

/** The problems that any route of this kind can answer with. */
function problemResponses(route: Route): NonNullable<ZodOpenApiOperationObject['responses']> {
  const codes: (keyof typeof PROBLEMS)[] = ['invalid', 'internal'];
  if (route.access !== 'open') codes.push('unauthenticated', 'forbidden');
  if (route.path.includes('{')) codes.push('not_found');
  if (route.bodyLimitBytes !== undefined) codes.push('conflict', 'too_large', 'unsupported_media_type');
  if (route.concurrencyPerToken !== undefined) codes.push('too_many');
  return Object.fromEntries(
    codes.map((code) => [
      String(PROBLEMS[code].status),
      { description: PROBLEMS[code].title, content: PROBLEM_CONTENT },
    ]),
  );
}

function operation(route: Route): ZodOpenApiOperationObject {
  const contentTypes = route.contentTypes ?? ['application/json'];
  const content = Object.fromEntries(
    contentTypes.map((type) => [type, { schema: type === 'application/json' ? route.answer : z.string() }]),
  );
  const roles = route.access === 'open' ? 'Open to anybody.' : `Roles: ${ACCESS[route.access].join(', ')}.`;
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, roles].filter(Boolean).join('\n\n'),
    security: route.access === 'open' ? [] : [{ token: [] }, { session: [] }],
    requestParams: { path: route.params, query: route.query },
    ...(route.bodyLimitBytes === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: route.documentedBody ?? route.body } },
          },
        }),
    responses: {
      ...problemResponses(route),
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, description]) => [
          status,
          { description, content: Number(status) < 400 ? content : PROBLEM_CONTENT },
        ]),
      ),
    },
  };
}

export function createOpenApi(routes: readonly Route[], version: string): Record<string, unknown> {
  const paths: Record<string, ZodOpenApiPathItemObject> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  }
  return {
    ...createDocument({
      openapi: '3.1.1',
      info: {
        title: 'gpuledger',
        version,
        description: 'Every GPU-second of a fleet, in exactly one place of one ledger.',
      },
      paths,
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: '`gpuledger token create`' },
          session: { type: 'apiKey', in: 'cookie', name: 'gpuledger_session' },
        },
      },
    }),
  };
}
