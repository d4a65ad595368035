/** Small marks beside findings and nodes: a word and a shape, never colour alone. */
import type { Finding } from '../../api/contract/findings.ts';
import { MODE_WORDS } from '../words.ts';

/** Only use of GPU time is settled or awaits a record; what was seen beside it is an observation. */
export function StateBadge({ finding }: { finding: Pick<Finding, 'kind' | 'state' | 'resolvedAt'> }) {
  if (finding.resolvedAt !== null) return <span className="badge">No longer stands</span>;
  if (finding.kind !== 'compute') return <span className="badge">Observation</span>;
  return finding.state === 'settled' ? (
    <span className="badge badge-unaccounted">Settled</span>
  ) : (
    <span className="badge badge-awaiting">Awaiting record</span>
  );
}

export function RunningBadge({ running }: { running: boolean }) {
  return running ? (
    <span className="badge badge-running">
      <span className="pulse" aria-hidden="true" />
      Running
    </span>
  ) : (
    <span className="soft">Ended</span>
  );
}

/** Only where a node group is not live yet: a finding there is shown and alerts nobody. */
export function ModeBadge({ mode }: { mode: Finding['mode'] }) {
  if (mode === 'live') return null;
  return (
    <span className="badge" title={MODE_WORDS[mode]}>
      {mode === 'shadow' ? 'Shadow' : 'Observe'}
    </span>
  );
}

export function Badge({ children, tone = 'plain' }: { children: string; tone?: 'plain' | 'warn' | 'ok' }) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}
