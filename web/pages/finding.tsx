/** One finding, told in a fixed order: what happened, what ties it to whom, what speaks against it, what it cost. */
import { Anchor } from '@mantine/core';
import { Link, useParams } from 'react-router';
import type { FindingDetail } from '../../api/contract/findings.ts';
import { ModeBadge, RunningBadge, StateBadge } from '../components/badges.tsx';
import { DeviceTimelines } from '../components/device-timelines.tsx';
import { Failure } from '../components/failure.tsx';
import { Series, Signals } from '../components/finding-signals.tsx';
import { sourceName } from '../components/finding-source.tsx';
import { Connections, Cost, History, Story } from '../components/finding-story.tsx';
import { JobLink } from '../components/job-link.tsx';
import { LineageTree } from '../components/lineage-tree.tsx';
import { Moment } from '../components/moment.tsx';
import { PageHead } from '../components/page-head.tsx';
import { PagePlaceholder } from '../components/page-placeholder.tsx';
import { Section } from '../components/section.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatDuration, formatGpuHours, formatMoney } from '../format.ts';
import { useFinding } from '../queries.ts';
import { evidenceWords, reasonWords, STRENGTH_WORDS } from '../words.ts';

const isCompute = (finding: FindingDetail): boolean => finding.kind === 'compute';

/** What is about a node as a whole needs no other name than the node's. */
const hasSource = (finding: FindingDetail): boolean =>
  isCompute(finding) || finding.source.process !== null || finding.devices.length > 0;

function opening(finding: FindingDetail): string {
  if (finding.resolvedAt !== null) return 'By later records this no longer stands: ';
  if (finding.reason === 'unlike_declared') return `${reasonWords(finding.reason)}: `;
  if (!isCompute(finding)) return reasonWords(finding.reason) + (hasSource(finding) ? ': ' : '');
  return finding.state === 'settled' ? 'No declaration covers ' : 'No declaration covers yet ';
}

/** One sentence that says what was recorded, where, and inside what. */
function Headline({ finding }: { finding: FindingDetail }) {
  const { source, insideJob } = finding;
  return (
    <span className="headline">
      {opening(finding)}
      {hasSource(finding) || finding.resolvedAt !== null ? (
        <span className="mono">
          <Untrusted text={sourceName(finding)} maxChars={64} />
        </span>
      ) : null}
      {source.user === null ? null : (
        <>
          {', which ran as OS account '}
          <Untrusted text={source.user} maxChars={32} />
        </>
      )}
      {insideJob ? (
        <>
          {' '}
          inside <JobLink job={insideJob} />
        </>
      ) : null}{' '}
      on{' '}
      <Anchor component={Link} to={`/nodes/${encodeURIComponent(finding.node)}`}>
        <Untrusted text={finding.node} maxChars={40} focusable={false} />
      </Anchor>
      .
    </span>
  );
}

function KeyFacts({ finding }: { finding: FindingDetail }) {
  const seenMs = Date.parse(finding.lastSeen) - Date.parse(finding.firstSeen);
  return (
    <dl className="facts facts-key">
      {isCompute(finding) ? (
        <>
          <div className="fact">
            <dt>Active</dt>
            <dd className={finding.state === 'settled' && finding.activeMs > 0 ? 'big bad' : 'big'}>
              {formatGpuHours(finding.activeMs, 2)} <span className="stat-unit">GPU-h</span>
            </dd>
            <dd className="dim">
              at least {formatGpuHours(finding.leastMs, 2)}, at most {formatGpuHours(finding.mostMs, 2)}
            </dd>
          </div>
          <div className="fact">
            <dt>Value</dt>
            <dd className="big">{formatMoney(finding.value)}</dd>
          </div>
        </>
      ) : (
        <div className="fact">
          <dt>GPU time</dt>
          <dd>None: seen beside the ledger</dd>
        </div>
      )}
      <div className="fact">
        <dt>Reason</dt>
        <dd>{finding.reasons.map(reasonWords).join('; ')}</dd>
      </div>
      <div className="fact">
        <dt>Tie to a job</dt>
        <dd>{evidenceWords(finding.evidence)}</dd>
      </div>
      <div className="fact">
        <dt>Seen</dt>
        <dd>
          <Moment iso={finding.firstSeen} precision="second" />
          {seenMs > 0 ? (
            <>
              {' to '}
              <Moment iso={finding.lastSeen} precision="second" /> ({formatDuration(seenMs)})
            </>
          ) : null}
        </dd>
      </div>
      <div className="fact">
        <dt>How strong</dt>
        <dd>
          {finding.resolvedAt === null
            ? STRENGTH_WORDS[finding.strength]
            : 'By later records it no longer stands'}
        </dd>
      </div>
    </dl>
  );
}

const BACK = { to: '/unaccounted', label: 'All findings' } as const;

export function FindingPage() {
  const { id = '' } = useParams();
  const { data: finding, error, refetch } = useFinding(id);
  if (error && !finding) return <Failure error={error} retry={() => void refetch()} back={BACK} />;
  if (!finding) return <PagePlaceholder />;
  return (
    <article
      key={finding.id}
      className={`finding finding-${isCompute(finding) && finding.resolvedAt === null ? finding.state : 'observation'}`}
    >
      <nav aria-label="Back" className="crumbs">
        <Anchor component={Link} to="/unaccounted">
          Unaccounted
        </Anchor>
      </nav>
      <PageHead
        title={`Finding on ${finding.node}`}
        heading={<Headline finding={finding} />}
        aside={
          <span className="badges">
            <StateBadge finding={finding} />
            <RunningBadge running={finding.running} />
            <ModeBadge mode={finding.mode} />
          </span>
        }
      />
      <KeyFacts finding={finding} />
      {isCompute(finding) && finding.resolvedAt === null ? (
        <Section
          title="Time line of the devices"
          hint="Each bar is one device in one step; the source’s share is lowest."
        >
          {finding.timelines.length === 0 ? (
            <p className="soft">Nothing is left of what its agent reported then.</p>
          ) : (
            <DeviceTimelines timelines={finding.timelines} settled={finding.state === 'settled'} />
          )}
        </Section>
      ) : null}
      {hasSource(finding) || finding.processes.length > 0 ? (
        <>
          <Section
            title="The process and its lineage"
            hint="Arrow keys move; the details are of the selected process."
          >
            {finding.processes.length > 0 ? (
              <LineageTree processes={finding.processes} />
            ) : (
              <p className="soft">
                {isCompute(finding)
                  ? 'No process was seen: the device worked and none showed itself.'
                  : 'It is about no process.'}
              </p>
            )}
          </Section>
          <Connections connections={finding.connections} dials={finding.dials} />
        </>
      ) : null}
      <Signals finding={finding} />
      <Series finding={finding} />
      <Story story={finding.story} compute={isCompute(finding)} />
      {isCompute(finding) && finding.resolvedAt === null ? <Cost finding={finding} /> : null}
      <History history={finding.history} />
    </article>
  );
}
