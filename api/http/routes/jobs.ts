/** Declarations of jobs. */
import { z } from 'zod';
import { ConflictList, ConflictsQuery } from '../../contract/conflicts.ts';
import { JobDetail, JobIn, JobList, JobOut, JobPatch, JobsQuery } from '../../contract/jobs.ts';
import { JobsBulkDocumented, JobsBulkIn, JobsBulkOut, SOURCE_LIMITS } from '../../contract/sources.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 4 * 1024 * 1024;
const JobId = z.object({
  id: z.string().regex(/^j_[0-9a-f]{16}$/, 'must be a job id such as j_0123456789abcdef'),
});

export function jobRoutes({ declarations, queries }: Services): Route[] {
  return [
    route({
      id: 'declareJob',
      method: 'post',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'Declare a job',
      description: `The same source, instance, external id and incarnation again is the same job: 200 and nothing changes when it
says the same, 200 and a new version when it differs. Every version is kept.`,
      access: 'jobs:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: JobIn,
      answer: JobOut,
      answers: { 200: 'The job was known', 201: 'The job is new' },
      async handle({ caller, body }) {
        const { job, created } = await declarations.declareJob(caller, body);
        return { json: job, status: created ? 201 : 200 };
      },
    }),
    route({
      id: 'declareJobs',
      method: 'post',
      path: '/v1/jobs/bulk',
      tag: 'Jobs',
      summary: 'Declare many jobs',
      description: `POST /v1/jobs for each of them. Each is answered by itself, in the order of the request: one that is refused keeps none
of the others back. Their order counts where a job comes twice.`,
      access: 'jobs:write',
      bodyLimitBytes: SOURCE_LIMITS.requestBytes,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: JobsBulkIn,
      documentedBody: JobsBulkDocumented,
      answer: JobsBulkOut,
      answers: { 200: 'What became of each' },
      handle: async ({ caller, body }) => ({
        json: { results: await declarations.declareJobs(caller, body.jobs) },
      }),
    }),
    route({
      id: 'changeJob',
      method: 'patch',
      path: '/v1/jobs/{id}',
      tag: 'Jobs',
      summary: 'Correct or end a job',
      description: 'What is named changes, the rest stays. `{"end": …}` ends it.',
      access: 'jobs:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: JobId,
      query: NO_QUERY,
      body: JobPatch,
      answer: JobOut,
      answers: { 200: 'The newest version' },
      handle: async ({ caller, params, body }) => ({
        json: await declarations.patchJob(caller, params.id, body),
      }),
    }),
    route({
      id: 'listJobs',
      method: 'get',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'Jobs, newest start first',
      access: 'jobs:read',
      params: NO_PARAMS,
      query: JobsQuery,
      body: NO_BODY,
      answer: JobList,
      answers: { 200: 'A page of jobs, each with its use so far' },
      handle: async ({ caller, query }) => ({ json: await queries.jobs(caller, query) }),
    }),
    route({
      id: 'listConflicts',
      method: 'get',
      path: '/v1/conflicts',
      tag: 'Jobs',
      summary: 'Where jobs claim more of a device at one time than there is',
      description: `As the ledger found it: those that go on first, then by their beginning, the newest first. The ledger divides such time
between them in equal parts. Owners see those in which a job of their accounts takes part.`,
      access: 'jobs:read',
      params: NO_PARAMS,
      query: ConflictsQuery,
      body: NO_BODY,
      answer: ConflictList,
      answers: { 200: 'A page of conflicts' },
      handle: async ({ caller, query }) => ({ json: await queries.conflicts(caller, query) }),
    }),
    route({
      id: 'getJob',
      method: 'get',
      path: '/v1/jobs/{id}',
      tag: 'Jobs',
      summary: 'One job: versions, devices, what ran inside',
      access: 'jobs:read',
      params: JobId,
      query: NO_QUERY,
      body: NO_BODY,
      answer: JobDetail,
      answers: { 200: 'The job' },
      handle: async ({ caller, params }) => ({ json: await queries.job(caller, params.id) }),
    }),
  ];
}
