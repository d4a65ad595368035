/** Is anything wrong? One strip that answers from across the room, by word and shape as well as colour. */
import { Anchor, Skeleton } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { Overview } from '../../api/contract/overview.ts';
import { formatCount, formatGpuHours } from '../format.ts';
import { AlertIcon, BlindIcon, CheckIcon, WaitIcon } from './icons.tsx';

interface Words {
  readonly icon: ReactNode;
  readonly title: string;
  readonly text: string;
}

function wordsOf(overview: Overview): Words {
  const { total, verdict, stillRunning } = overview;
  const settledMs = total.unaccountedMs - total.unaccountedProvisionalMs;
  const hours = (ms: number) => `${formatGpuHours(ms, 2)} GPU-hours`;
  if (verdict === 'unaccounted') {
    const running = stillRunning === 0 ? 'No' : formatCount(stillRunning);
    const sources = stillRunning <= 1 ? 'source is' : 'sources are';
    const covers =
      settledMs > 0
        ? `No declaration covers ${hours(settledMs)} in this range, active or resident.`
        : 'None of it lies in this range.';
    return {
      icon: <AlertIcon size={32} />,
      title: 'Unaccounted use',
      text: `${covers} ${running} ${sources} still running.`,
    };
  }
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
  return (
    <section className={`verdict verdict-${overview.verdict}`} aria-label="Verdict">
      <span className="verdict-icon">{icon}</span>
      <div className="verdict-text" aria-live="polite">
        <p className="verdict-title">{title}</p>
        <p>{text}</p>
      </div>
      {overview.verdict === 'unaccounted' || overview.verdict === 'awaiting' ? (
        <Anchor component={Link} to="/unaccounted" className="verdict-link">
          See the findings
        </Anchor>
      ) : null}
      {overview.verdict === 'blind' ? (
        <Anchor component={Link} to="/nodes" className="verdict-link">
          See the nodes
        </Anchor>
      ) : null}
    </section>
  );
}
