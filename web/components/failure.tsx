/** Error and empty states: what happened, and what helps. */
import { Anchor, Button } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import { Link } from 'react-router';
import { ApiError } from '../client.ts';

interface FailureProps {
  readonly error: Error;
  readonly retry: () => void;
  /** Given where the failure stands in for a whole page: it then has the page's heading, and a way back. */
  readonly back?: { readonly to: string; readonly label: string };
}

/** An address of something that does not exist, and may never have. */
function isMissing(error: Error): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 404 || (error.status === 400 && error.fields.some(({ field }) => field === 'id'));
}

function titleOf(error: Error): string {
  if (!(error instanceof ApiError)) return 'This page ran into a fault of its own';
  if (error.status === 0 || error.code === 'unreachable') return 'The service does not answer';
  if (error.status === 403) return 'Your role may not see this';
  if (isMissing(error)) return 'There is nothing here';
  if (error.status === 429) return 'Too many requests';
  return error.status >= 500 ? 'The service could not answer' : 'The service did not accept the question';
}

function Fields({ error }: { error: Error }) {
  const fields = error instanceof ApiError ? error.fields : [];
  if (fields.length === 0) return null;
  return (
    <ul>
      {fields.map((field) => (
        <li key={`${field.field} ${field.message}`}>
          <code>{field.field}</code>: {field.message}
        </li>
      ))}
    </ul>
  );
}

export function Failure({ error, retry, back }: FailureProps) {
  const title = titleOf(error);
  const missing = isMissing(error);
  useEffect(() => {
    if (back) document.title = `${title} · gpuledger`;
  }, [back, title]);
  return (
    <div className="state" role="alert">
      {back ? <h1>{title}</h1> : <h2>{title}</h2>}
      <p>{missing && back ? 'The address may be cut short, or what it named is gone.' : error.message}</p>
      {missing && back ? null : <Fields error={error} />}
      <div className="state-actions">
        {missing ? null : (
          <Button variant="default" size="sm" onClick={retry}>
            Try again
          </Button>
        )}
        {back ? (
          <Anchor component={Link} to={back.to}>
            {back.label}
          </Anchor>
        ) : null}
      </div>
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
