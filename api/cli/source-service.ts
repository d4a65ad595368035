/** The service as a runner of sources needs it, over HTTP. */
import { JobList, JobOut } from '../contract/jobs.ts';
import { ConditionsResult, JobsBulkOut, SourceList, SourceOut } from '../contract/sources.ts';
import { ServiceAway, type SourceName, type SourceService, TooMuch } from '../schedulers/service.ts';
import { type Client, Refused, Unreachable, withQuery } from './client.ts';

const TOO_LARGE = 413;
const NOT_FOUND = 404;
const PAGE_ROWS = 500;

const pathOf = ({ source, instance }: SourceName): string =>
  `/v1/sources/${encodeURIComponent(source)}/${encodeURIComponent(instance)}`;
const toTime = (ms: number): string => new Date(ms).toISOString();

export function createSourceService(client: Client): SourceService {
  async function asked<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (error instanceof Unreachable) throw new ServiceAway(error.message);
      if (error instanceof Refused && error.status === TOO_LARGE) throw new TooMuch(error.message);
      throw error;
    }
  }

  return {
    async declare(jobs, signal) {
      const answer = await asked(() => client.ask(JobsBulkOut, 'POST', '/v1/jobs/bulk', { jobs }, signal));
      return answer.results;
    },
    async watermarkMs({ source, instance }, signal) {
      const { items } = await asked(() => client.ask(SourceList, 'GET', '/v1/sources', undefined, signal));
      const known = items.find((one) => one.source === source && one.sourceInstance === instance);
      return known === undefined || known.completeTo === null ? null : Date.parse(known.completeTo);
    },
    async complete(name, completeToMs, signal) {
      const said = { completeTo: toTime(completeToMs) };
      await asked(() => client.ask(SourceOut, 'PUT', pathOf(name), said, signal));
    },
    async health(name, health, signal) {
      await asked(() => client.ask(SourceOut, 'PUT', pathOf(name), { health }, signal));
    },
    async conditions(name, conditions, signal) {
      const said = conditions.map(({ node, condition, fromMs, toMs, reason }) => ({
        ...{ node, condition, from: toTime(fromMs), to: toMs === null ? null : toTime(toMs), reason },
      }));
      const path = `${pathOf(name)}/conditions`;
      await asked(() => client.ask(ConditionsResult, 'PUT', path, { conditions: said }, signal));
    },
    async *openJobs({ source, instance }, signal) {
      const query = { source, state: 'running', limit: PAGE_ROWS };
      let cursor: string | undefined;
      do {
        const path = withQuery('/v1/jobs', { ...query, cursor });
        const page: JobList = await asked(() => client.ask(JobList, 'GET', path, undefined, signal));
        yield page.items
          .filter((job) => job.sourceInstance === instance && job.end === null)
          .map(({ id, externalId, start }) => ({ id, externalId, startMs: Date.parse(start) }));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
    },
    async end(id, endMs, signal) {
      try {
        const path = `/v1/jobs/${encodeURIComponent(id)}`;
        await asked(() => client.ask(JobOut, 'PATCH', path, { end: toTime(endMs) }, signal));
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== NOT_FOUND) throw error;
      }
    },
  };
}
