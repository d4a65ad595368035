/** Is anything wrong? One strip that answers from across the room, by word and shape as well as colour. */
import { Anchor, Skeleton } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { Finding } from '../../api/contract/findings.ts';
import type { Overview } from '../../api/contract/overview.ts';
import { formatCount, formatGpuHours } from '../format.ts';
import { sourceName } from './finding-source.tsx';
import { AlertIcon, BlindIcon, CheckIcon, WaitIcon } from './icons.tsx';
import { Untrusted } from './untrusted.tsx';

/** The findings that the overview counts as still running. */
export const STILL_RUNNING = '/unaccounted?running=true&state=settled&kind=compute';

interface Words {
  readonly icon: ReactNode;
  readonly title: string;
  readonly text: string;
}

const hours = (ms: number): string => `${formatGpuHours(ms, 2)} GPU-hours`;

/** The worst that still runs, where the strip leads to at once. */
function worstRunning(overview: Overview): Finding | undefined {
  return overview.worst.find(
    (finding) => finding.running && finding.kind === 'compute' && finding.state === 'settled',
  );
}

function unaccountedWords({ total, stillRunning }: Overview): Words {
  const settledMs = total.unaccountedMs - total.unaccountedProvisionalMs;
  const covers =
    settledMs > 0
      ? `No declaration covers ${hours(settledMs)} in this range, active or resident.`
      : 'None of it lies in this range.';
  const icon = <AlertIcon size={32} />;
  if (stillRunning === 0) {
    return { icon, title: 'Unaccounted use, now ended', text: `${covers} Nothing of it is still running.` };
  }
  const running = `${formatCount(stillRunning)} ${stillRunning === 1 ? 'source is' : 'sources are'}`;
  return { icon, title: 'Unaccounted use, still running', text: `${covers} ${running} still running.` };
}

function wordsOf(overview: Overview): Words {
  const { total, verdict } = overview;
  if (verdict === 'unaccounted') return unaccountedWords(overview);
  if (verdict === 'awaiting') {
    return {
      icon: <WaitIcon size={32} />,
      title: 'Awaiting record',
      text: `${hours(total.unaccountedProvisionalMs)} have no declaration yet; a source may still record one. Nothing else is open.`,
    };
  }
  if (verdict === 'blind') {
    return {
      icon: <BlindIcon size={32} />,
      title: 'Not measured',
      text: 'No agent gives a trustworthy reading. Nothing can be said about this range, good or bad.',
    };
  }
  const blind = total.unobservedMs > 0 ? ` ${hours(total.unobservedMs)} were not measured.` : '';
  return {
    icon: <CheckIcon size={32} />,
    title: 'All accounted for',
    text: `Everything that was measured in this range is declared, reserved or idle.${blind}`,
  };
}

/** What to look at next: the one finding that matters most, and the list of all. */
function Leads({ overview }: { overview: Overview }) {
  const worst = worstRunning(overview);
  if (overview.verdict === 'blind') {
    return (
      <Anchor component={Link} to="/nodes" className="verdict-link">
        See the nodes
      </Anchor>
    );
  }
  if (overview.verdict === 'clear') return null;
  return (
    <div className="verdict-leads">
      {worst ? (
        <Anchor
          component={Link}
          to={`/findings/${encodeURIComponent(worst.id)}`}
          className="verdict-link verdict-worst"
        >
          <span className="mono">
            <Untrusted text={sourceName(worst)} maxChars={36} focusable={false} />
          </span>{' '}
          on <Untrusted text={worst.node} maxChars={24} focusable={false} />
        </Anchor>
      ) : null}
      {!worst && overview.stillRunning > 0 ? (
        <Anchor component={Link} to={STILL_RUNNING} className="verdict-link">
          See what still runs
        </Anchor>
      ) : null}
      <Anchor component={Link} to="/unaccounted" className="verdict-link">
        See all findings
      </Anchor>
    </div>
  );
}

export function VerdictStrip({ overview }: { overview: Overview | undefined }) {
  if (!overview) {
    return (
      <div className="verdict" aria-busy="true">
        <Skeleton height={36} width={36} circle />
        <Skeleton height={44} width="60%" />
      </div>
    );
  }
  const { icon, title, text } = wordsOf(overview);
  const ended = overview.verdict === 'unaccounted' && overview.stillRunning === 0;
  return (
    <section
      className={`verdict verdict-${overview.verdict}${ended ? ' verdict-ended' : ''}`}
      aria-label="Verdict"
    >
      <span className="verdict-icon">{icon}</span>
      <div className="verdict-text">
        {/* Only the news is read out; the figures below it grow all the time. */}
        <p className="verdict-title" aria-live="polite">
          {title}
        </p>
        <p>{text}</p>
      </div>
      <Leads overview={overview} />
    </section>
  );
}
