/** Whether a Slurm cluster could be followed from here: `gpuledger sources test`. */
import type { SourceCheck, SourceProblem } from '../source.ts';
import { assertCluster, isOther, type RowsOf, type Slurm } from './answers.ts';
import { messageOf } from './following.ts';
import { type Origin, readJob } from './job.ts';
import { readNode } from './nodes.ts';
import type { SlurmSettings } from './settings.ts';

interface Checking {
  readonly slurm: Slurm;
  readonly settings: SlurmSettings;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** What the ways of asking have said; it is filled while they are tried. */
  readonly problems: readonly SourceProblem[];
}

const HOUR_MS = 3_600_000;

export async function checkSlurm({
  slurm,
  settings,
  signal,
  nowMs,
  problems,
}: Checking): Promise<SourceCheck[]> {
  const attempt = async (name: string, look: () => Promise<string>): Promise<SourceCheck> => {
    try {
      return { name, ok: true, message: await look() };
    } catch (error) {
      return { name, ok: false, message: messageOf(error) };
    }
  };
  const checks: SourceCheck[] = [];
  let privateData: string | null = null;
  checks.push(
    await attempt('cluster', async () => {
      const identity = await slurm.identify(signal);
      ({ privateData } = identity);
      return `${identity.cluster ?? settings.cluster}, ${identity.version ?? 'of unknown version'}`;
    }),
    await attempt('controller', async () => {
      const { jobs, unread } = await count(await slurm.jobs(signal), 'controller', nowMs(), settings.cluster);
      return `${jobs} jobs run or have just ended${unread}`;
    }),
    await attempt('accounting', async () => {
      const toMs = nowMs();
      const answer = await slurm.runs({ fromMs: toMs - HOUR_MS, toMs }, signal);
      const { jobs, unread } = await count(answer, 'accounting', nowMs(), settings.cluster);
      return `${jobs} runs in the last hour${unread}`;
    }),
    await attempt('nodes', async () => {
      let nodes = 0;
      let gpus = 0;
      for await (const row of (await slurm.nodes(signal)).rows) {
        const node = readNode(row, () => undefined);
        if (node !== null) nodes += 1;
        gpus += node?.resources.gpus ?? 0;
      }
      return `${nodes} nodes with ${gpus} GPUs`;
    }),
  );
  if (privateData !== null && /\bjobs\b/.test(privateData) && process.getuid?.() !== 0)
    checks.push({
      name: 'rights',
      ok: false,
      message:
        'PrivateData hides the jobs of other users: run this as root, as SlurmUser, or as an operator ' +
        '(sacctmgr modify user NAME set adminlevel=operator)',
    });
  for (const { subject, message } of problems)
    checks.push({ name: subject ?? 'answers', ok: false, message });
  return checks;
}

/** How many rows are runs with devices or ended ones, and what was wrong with others. */
async function count(
  { rows, zoneless, shared = false }: RowsOf,
  origin: Origin,
  nowMs: number,
  cluster: string,
): Promise<{ jobs: number; unread: string }> {
  let jobs = 0;
  let wrong = 0;
  let first = '';
  let other: string | null = null;
  for await (const row of rows) {
    const { job, problems } = readJob(row, { origin, zoneless, nowMs });
    const isForeign = job !== null && isOther(cluster, job.cluster);
    if (isForeign) other ??= job.cluster;
    else if (job !== null) jobs += 1;
    const foreign = { subject: `job ${job?.jobId}`, message: `is of another cluster than ${cluster}` };
    const problem = isForeign && !shared ? foreign : problems[0];
    if (problem === undefined) continue;
    wrong += 1;
    if (wrong === 1) first = `${problem.subject}: ${problem.message}`;
  }
  if (jobs === 0 && origin === 'controller') assertCluster(cluster, other);
  return { jobs, unread: wrong === 0 ? '' : `; ${wrong} rows with problems, such as ${first}` };
}
