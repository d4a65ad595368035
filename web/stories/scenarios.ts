/** Every state that the pages must be able to show, as one answer a request. */
import type { Overview } from '../../api/contract/overview.ts';
import { at, complete, HOUR_MS, NOW_MS, sums } from './facts.ts';
import { detailOf, FINDINGS } from './findings.ts';
import { CONFLICTS, DEVICES, JOBS, jobDetail, NODES, SOURCES, statement } from './fleet.ts';
import { AGREED, INTEGRITY, keysOf, NODE_DETAILS, NOTHING_LISTED } from './integrity.ts';
import { NO_POLICY, POLICIES } from './policy.ts';

export const SCENARIOS = [
  'unaccounted',
  'clear',
  'awaiting',
  'blind',
  'empty',
  'error',
  'signed-out',
  'slow',
  'gone',
] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const ok = (body: unknown): Answer => ({ status: 200, body });
const problem = (status: number, code: string, detail: string): Answer => ({
  status,
  body: { type: `about:blank#${code}`, title: code, status, detail, code },
});

const PARTS = {
  unaccounted: { used: 590, held: 150, settled: 12, awaiting: 6, unobserved: 30 },
  clear: { used: 620, held: 150 },
  awaiting: { used: 600, held: 150, awaiting: 14, unobserved: 4 },
  blind: { unobserved: 1000 },
  empty: {},
} as const;

function overview(scenario: keyof typeof PARTS, fromMs: number, toMs: number): Overview {
  const stepMs = toMs - fromMs > 72 * HOUR_MS ? 24 * HOUR_MS : HOUR_MS;
  const steps = Math.ceil((toMs - fromMs) / stepMs);
  const devices = scenario === 'empty' ? 0 : 96;
  const verdicts = {
    unaccounted: 'unaccounted',
    clear: 'clear',
    awaiting: 'awaiting',
    blind: 'blind',
    empty: 'clear',
  } as const;
  const settled = scenario === 'unaccounted';
  const waits = settled || scenario === 'awaiting';
  const spell = (hours: number) => ({
    settledMs: settled ? Math.round(hours * HOUR_MS) : 0,
    provisionalMs: waits ? 8 * 60_000 : 0,
    value: settled
      ? { amount: (hours * 2.75).toFixed(4), currency: 'EUR' }
      : { amount: '0', currency: 'EUR' },
  });
  const points = Array.from({ length: steps }, (_, i) => {
    const last = i === steps - 1 ? 0.6 : 1;
    const wave = Math.round(120 * Math.sin(i / 3));
    const parts = PARTS[scenario];
    const used = 'used' in parts ? { ...parts, used: parts.used + wave } : parts;
    const bursts = settled
      ? { ...used, settled: i % 7 > 4 ? 34 : 0, awaiting: i === steps - 1 ? 20 : 0 }
      : used;
    return {
      at: new Date(fromMs + i * stepMs).toISOString(),
      ...sums(Math.round(devices * stepMs * last), bursts),
    };
  });
  return {
    now: new Date(NOW_MS).toISOString(),
    cluster: 'demo',
    complete:
      scenario === 'empty' ? { ...complete(false), completeTo: null, settledTo: null } : complete(settled),
    nodes: { total: devices === 0 ? 0 : 12, silent: settled ? 1 : 0, notEnrolled: settled ? 1 : 0, devices },
    sources: { total: 3, lagging: settled ? 1 : 0 },
    verdict: verdicts[scenario],
    today: spell(1.74),
    month: spell(36.9),
    newSinceYesterday: settled ? 2 : 0,
    stillRunning: settled ? 1 : 0,
    conflicts: settled ? 1 : 0,
    total: sums(devices * (toMs - fromMs), PARTS[scenario]),
    series: { stepMs, points },
    worst: settled ? FINDINGS.slice(0, 5) : scenario === 'awaiting' ? FINDINGS.slice(2, 3) : [],
  };
}

const page = (items: readonly unknown[]) => ok({ items, nextCursor: null });

function answerFor(scenario: keyof typeof PARTS, path: string, query: URLSearchParams): Answer {
  const [, , kind, id] = path.split('/').map(decodeURIComponent);
  const some = scenario !== 'empty';
  const settled = scenario === 'unaccounted';
  if (kind === 'session')
    return ok({
      ...{ name: 'admin', roles: ['admin'], accounts: null, cluster: 'demo', version: '0.1.0', demo: true },
      may: ['ledger:read', 'findings:read', 'jobs:read', 'fleet:read', 'statements:read'],
    });
  if (kind === 'overview')
    return ok(
      overview(
        scenario,
        Date.parse(query.get('from') ?? at(24 * HOUR_MS)),
        Date.parse(query.get('to') ?? at(0)),
      ),
    );
  if (kind === 'findings' && id) {
    const finding = FINDINGS.find((one) => one.id === id);
    return finding ? ok(detailOf(finding)) : problem(404, 'not_found', 'No finding has this id.');
  }
  if (kind === 'findings') {
    const wanted = (settled ? FINDINGS : []).filter(
      (one) => !query.get('state') || one.state === query.get('state'),
    );
    return page(wanted);
  }
  if (kind === 'jobs' && id) {
    const job = JOBS.find((one) => one.id === id);
    return job ? ok(jobDetail(job)) : problem(404, 'not_found', 'No job has this id.');
  }
  if (kind === 'jobs') return page(some ? JOBS : []);
  if (kind === 'conflicts') return page(settled ? CONFLICTS : []);
  if (kind === 'nodes' && id) {
    const node = NODE_DETAILS.find((one) => one.name === id);
    return node ? ok(node) : problem(404, 'not_found', 'There is no such node.');
  }
  if (kind === 'integrity') return ok(settled ? INTEGRITY : some ? AGREED : NOTHING_LISTED);
  if (kind === 'keys') return ok(some ? keysOf(query.get('node') ?? '') : { keys: 0, items: [] });
  if (kind === 'nodes')
    return page(some ? NODES.filter((node) => node.name.includes(query.get('search') ?? '')) : []);
  if (kind === 'devices')
    return page(
      some ? DEVICES.filter((device) => !query.get('node') || device.node === query.get('node')) : [],
    );
  if (kind === 'policy') return ok(settled ? POLICIES : NO_POLICY);
  if (kind === 'sources') return ok({ items: some ? SOURCES : [] });
  if (kind === 'statements') return ok(statement(query.get('period') ?? '2026-10'));
  return problem(404, 'not_found', 'There is no such address.');
}

/** What the service would say to GET `path` in a scenario. */
export function answer(scenario: Scenario, path: string, query: URLSearchParams): Answer {
  if (scenario === 'signed-out') return problem(401, 'unauthenticated', 'Open a sign-in link.');
  if (scenario === 'gone')
    return path === '/v1/live' ? problem(503, 'unavailable', 'Gone.') : answerFor('unaccounted', path, query);
  if (scenario === 'error' && path !== '/v1/session')
    return problem(500, 'internal', 'The service ran into a fault; its log says more.');
  return answerFor(scenario === 'error' || scenario === 'slow' ? 'unaccounted' : scenario, path, query);
}
