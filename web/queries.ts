/** The questions that pages ask, under the keys that live.ts marks stale. Old answers stay while new ones load. */
import { keepPreviousData, QueryCache, QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import {
  ApiError,
  getConflicts,
  getDevices,
  getFinding,
  getFindings,
  getIntegrity,
  getJob,
  getJobs,
  getKeys,
  getNode,
  getNodes,
  getOverview,
  getPolicy,
  getSession,
  getSources,
  getStatement,
} from './client.ts';
import { rangeQuery, type TimeRange } from './range.ts';

/** Should the event stream be blocked by a proxy, the pages still move at this pace. */
const SLOW_REFETCH_MS = 60_000;
const RETRY_MS = 1_000;
const RETRIES = 2;

const isSignedOut = (error: unknown): boolean => error instanceof ApiError && error.status === 401;
const mayHeal = (error: unknown): boolean =>
  !(error instanceof ApiError) || error.status === 0 || error.status >= 500;

/** A client whose every "not signed in" leads back to the session, and so to the sign-in page. */
export function createQueryClient(): QueryClient {
  const client = new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => {
        if (isSignedOut(error) && query.queryKey[0] !== 'session')
          void client.invalidateQueries({ queryKey: ['session'] });
      },
    }),
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        refetchInterval: SLOW_REFETCH_MS,
        retry: (count, error) => mayHeal(error) && count < RETRIES,
        retryDelay: (count) => RETRY_MS * 2 ** count,
        // A page must not wait for the browser's idea of being online: the service may be on this very machine.
        networkMode: 'always',
      },
    },
  });
  return client;
}

export const useSession = () =>
  useQuery({ queryKey: ['session'], queryFn: ({ signal }) => getSession(signal), staleTime: 300_000 });

export const useOverview = (range: TimeRange) =>
  useQuery({
    queryKey: ['overview', rangeQuery(range)],
    queryFn: ({ signal }) => getOverview(rangeQuery(range), signal),
    placeholderData: keepPreviousData,
  });

/** Filters of a list, as the API spells them; empty ones are left out. */
export type Filters = Readonly<Record<string, string>>;

export const useFindings = (filters: Filters) =>
  useInfiniteQuery({
    queryKey: ['findings', filters],
    queryFn: ({ pageParam, signal }) => getFindings({ ...filters, limit: 50, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });

export const useFinding = (id: string) =>
  useQuery({ queryKey: ['finding', id], queryFn: ({ signal }) => getFinding(id, signal) });

export const useJobs = (filters: Filters) =>
  useInfiniteQuery({
    queryKey: ['jobs', filters],
    queryFn: ({ pageParam, signal }) => getJobs({ ...filters, limit: 50, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });

export const useJob = (id: string) =>
  useQuery({ queryKey: ['job', id], queryFn: ({ signal }) => getJob(id, signal) });

export const useConflicts = (filters: Filters) =>
  useInfiniteQuery({
    queryKey: ['conflicts', filters],
    queryFn: ({ pageParam, signal }) => getConflicts({ ...filters, limit: 50, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });

export const useNodes = (filters: Filters) =>
  useInfiniteQuery({
    queryKey: ['nodes', filters],
    queryFn: ({ pageParam, signal }) => getNodes({ ...filters, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });

export const useNode = (name: string) =>
  useQuery({ queryKey: ['node', name], queryFn: ({ signal }) => getNode(name, signal) });

/** Devices of one node: no host has more than fit on a page. */
export const useDevices = (node: string) =>
  useQuery({
    queryKey: ['devices', node],
    queryFn: ({ signal }) => getDevices({ node, limit: 500 }, signal),
  });

export const useIntegrity = () =>
  useQuery({ queryKey: ['integrity'], queryFn: ({ signal }) => getIntegrity(signal) });

/** Those of one node. */
export const useKeys = (node: string) =>
  useQuery({ queryKey: ['keys', node], queryFn: ({ signal }) => getKeys(node, signal) });

export const useSources = () =>
  useQuery({ queryKey: ['sources'], queryFn: ({ signal }) => getSources(signal) });

export const usePolicy = () => useQuery({ queryKey: ['policy'], queryFn: ({ signal }) => getPolicy(signal) });

export const useStatement = (period: string) =>
  useQuery({
    queryKey: ['statement', period],
    queryFn: ({ signal }) => getStatement(period, signal),
    placeholderData: keepPreviousData,
  });
