/** The only caller of the API. Answers are typed by the contract; problems become errors that a page can show. */

import type { ConflictList } from '../api/contract/conflicts.ts';
import type { Statement } from '../api/contract/finance.ts';
import type { FindingDetail, FindingList } from '../api/contract/findings.ts';
import type { DeviceList, NodeList } from '../api/contract/fleet.ts';
import type { FleetIntegrity, NodeDetail } from '../api/contract/integrity.ts';
import type { JobDetail, JobList } from '../api/contract/jobs.ts';
import type { NodeKeyList } from '../api/contract/keys.ts';
import type { Overview, Session } from '../api/contract/overview.ts';
import type { Policies } from '../api/contract/policy.ts';
import type { Problem } from '../api/contract/primitives.ts';
import type { SourceList } from '../api/contract/sources.ts';

const TIMEOUT_MS = 20_000;

/** What went wrong with a request. `status` is 0 when the service did not answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly fields: readonly { field: string; message: string }[];

  constructor(status: number, code: string, message: string, fields: Problem['errors'] = []) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

function address(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') params.set(name, String(value));
  }
  const text = params.toString();
  return text === '' ? path : `${path}?${text}`;
}

async function problemOf(response: Response): Promise<ApiError> {
  const fallback = `The service answered ${response.status}.`;
  try {
    const problem: Partial<Problem> = await response.json();
    const message = problem.detail || problem.title || fallback;
    return new ApiError(response.status, problem.code ?? 'unknown', message, problem.errors);
  } catch {
    // A proxy in between may answer with a page instead of a problem.
    const code = response.status >= 502 && response.status <= 504 ? 'unreachable' : 'unknown';
    return new ApiError(response.status, code, fallback);
  }
}

async function request(method: string, path: string, signal?: AbortSignal): Promise<Response> {
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { accept: 'application/json' },
      credentials: 'same-origin',
      signal: AbortSignal.any(limits),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', 'The service does not answer.');
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function get<Answer>(path: string, query: Query = {}, signal?: AbortSignal): Promise<Answer> {
  const response = await request('GET', address(path, query), signal);
  // The service validates what it sends against the same schemas that these types come from.
  return await response.json();
}

const segment = encodeURIComponent;

export const getSession = (signal?: AbortSignal): Promise<Session> => get('/v1/session', {}, signal);
export const getOverview = (query: Query, signal?: AbortSignal): Promise<Overview> =>
  get('/v1/overview', query, signal);
export const getFindings = (query: Query, signal?: AbortSignal): Promise<FindingList> =>
  get('/v1/findings', query, signal);
export const getFinding = (id: string, signal?: AbortSignal): Promise<FindingDetail> =>
  get(`/v1/findings/${segment(id)}`, {}, signal);
export const getJobs = (query: Query, signal?: AbortSignal): Promise<JobList> =>
  get('/v1/jobs', query, signal);
export const getJob = (id: string, signal?: AbortSignal): Promise<JobDetail> =>
  get(`/v1/jobs/${segment(id)}`, {}, signal);
export const getConflicts = (query: Query, signal?: AbortSignal): Promise<ConflictList> =>
  get('/v1/conflicts', query, signal);
export const getNodes = (query: Query, signal?: AbortSignal): Promise<NodeList> =>
  get('/v1/nodes', query, signal);
export const getNode = (name: string, signal?: AbortSignal): Promise<NodeDetail> =>
  get(`/v1/nodes/${segment(name)}`, {}, signal);
export const getDevices = (query: Query, signal?: AbortSignal): Promise<DeviceList> =>
  get('/v1/devices', query, signal);
export const getIntegrity = (signal?: AbortSignal): Promise<FleetIntegrity> =>
  get('/v1/integrity', {}, signal);
export const getKeys = (node: string, signal?: AbortSignal): Promise<NodeKeyList> =>
  get('/v1/keys', { node }, signal);
export const getSources = (signal?: AbortSignal): Promise<SourceList> => get('/v1/sources', {}, signal);
export const getPolicy = (signal?: AbortSignal): Promise<Policies> => get('/v1/policy', {}, signal);
export const getStatement = (period: string, signal?: AbortSignal): Promise<Statement> =>
  get('/v1/statements', { period }, signal);

/** Where a month's statement is as CSV; the browser downloads it with the page's own cookie. */
export const statementCsvAddress = (period: string): string =>
  address('/v1/statements', { period, format: 'csv' });

export const signOut = async (): Promise<void> => {
  await request('DELETE', '/v1/session');
};
