/** Error and empty states: what happened, and what helps. */
import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { ApiError } from '../client.ts';

interface FailureProps {
  readonly error: Error;
  readonly retry: () => void;
}

function titleOf(error: Error): string {
  if (!(error instanceof ApiError)) return 'This page ran into a fault of its own';
  if (error.status === 0 || error.code === 'unreachable') return 'The service does not answer';
  if (error.status === 403) return 'Your role may not see this';
  if (error.status === 404) return 'There is nothing here';
  if (error.status === 429) return 'Too many requests';
  return error.status >= 500 ? 'The service could not answer' : 'The service did not accept the question';
}

export function Failure({ error, retry }: FailureProps) {
  const fields = error instanceof ApiError ? error.fields : [];
  return (
    <div className="state" role="alert">
      <h2>{titleOf(error)}</h2>
      <p>{error.message}</p>
      {fields.length > 0 ? (
        <ul>
          {fields.map((field) => (
            <li key={`${field.field} ${field.message}`}>
              <code>{field.field}</code>: {field.message}
            </li>
          ))}
        </ul>
      ) : null}
      <Button variant="default" size="sm" onClick={retry}>
        Try again
      </Button>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <h3>{title}</h3>
      {children}
    </div>
  );
}
