/** Says in lines, or as JSON, what became of a scenario. */
import { FindingsQuery } from '../../api/contract/findings.ts';
import { JobsQuery } from '../../api/contract/jobs.ts';
import { LedgerQuery } from '../../api/contract/ledger.ts';
import type { Caller } from '../../api/domain/caller.ts';
import type { Built } from './build.ts';
import type { Played } from './play.ts';
import type { Score } from './score.ts';

const AUDITOR: Caller = { name: 'replay', role: 'auditor', node: null, accounts: null };

export async function describe(built: Built, played: Played, score: Score, tookMs: number) {
  const { queries } = played.app.services;
  const range = { from: new Date(built.startMs).toISOString(), to: new Date(built.endMs).toISOString() };
  const ledger = await queries.ledger(LedgerQuery.parse({ ...range, group_by: 'node,device' }));
  const { items: findings } = await queries.findings(AUDITOR, FindingsQuery.parse({ limit: 500 }));
  const { items: jobs } = await queries.jobs(AUDITOR, JobsQuery.parse({ limit: 500 }));
  const nodes = await Promise.all([...built.nodes.keys()].map((name) => queries.node(name)));
  const index = new Map(
    [...built.nodes.values()].flatMap((node) => node.devices.map((one) => [one.uuid, one.index])),
  );
  return {
    id: built.scenario.id,
    title: built.scenario.title,
    tookMs: Math.round(tookMs),
    score,
    devices: ledger.rows.map(({ group, ...sums }) => ({
      node: group['node'] ?? '',
      index: index.get(group['device'] ?? '') ?? null,
      ...sums,
    })),
    jobs: jobs.map(({ source, externalId, account, use }) => ({ source, externalId, account, ...use })),
    findings: await Promise.all(
      findings.map(async (finding) => {
        const detail = await queries.finding(AUDITOR, finding.id);
        const seenMs = played.firstSeenMs.get(finding.id);
        return {
          visibleAfterMs: seenMs === undefined ? null : Math.round(seenMs - Date.parse(finding.firstSeen)),
          ...detail,
        };
      }),
    ),
    agents: nodes.map(({ name, agent, problems }) => ({ node: name, agent, problems })),
    complaints: played.complaints,
  };
}
export type Description = Awaited<ReturnType<typeof describe>>;

const seconds = (ms: number): string => (ms / 1000).toFixed(1);
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** The same for people. */
export function lines(described: Description): string[] {
  const { score } = described;
  const after = score.visibleAfterMs === null ? '' : `, visible after ${seconds(score.visibleAfterMs)} s`;
  return [
    `${described.id}  ${described.title}  (${seconds(described.tookMs)} s)`,
    `  books ${score.conserved ? 'balance' : 'DO NOT BALANCE'}; diverted ${seconds(score.divertedMs)} GPU-s, found ` +
      `${percent(score.recall)}, of what was called so ${percent(score.precision)} right${after}`,
    ...score.falseAlarms.map((alarm) => `  FALSE ALARM ${alarm}`),
    ...score.missing.map((item) => `  MISSING ${item}`),
    ...(score.wronglyUsedMs > 0 ? [`  CHARGED WRONGLY ${seconds(score.wronglyUsedMs)} GPU-s`] : []),
    ...described.devices.map(
      (row) =>
        `  ${row.node} GPU ${row.index}: used ${seconds(row.usedMs)}  held ${seconds(row.heldMs)}  unaccounted ` +
        `${seconds(row.unaccountedMs)} (executing ${seconds(row.unaccountedActiveMs)})  idle ${seconds(row.idleMs)}  ` +
        `not measured ${seconds(row.unobservedMs)}`,
    ),
    ...described.jobs
      .slice(0, MAX_JOBS)
      .map((job) => `  job ${job.source} ${job.externalId}: used ${seconds(job.usedMs)}`),
    ...described.findings.map(
      (finding) =>
        `  finding ${finding.severity} ${finding.state} ${finding.reason}: ${JSON.stringify(finding.source.executable)} on GPU ` +
        `${finding.devices.map((device) => device.index).join(', ')}, ${seconds(finding.activeMs)} s`,
    ),
    ...described.agents.flatMap(({ node, problems }) =>
      problems.map((problem) => `  agent ${node}: ${problem.source}: ${JSON.stringify(problem.message)}`),
    ),
  ];
}

const MAX_JOBS = 20;
