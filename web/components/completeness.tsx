/** How complete the picture is: to when, and which nodes and sources lag. Stands above everything that it qualifies. */
import { Anchor, Skeleton } from '@mantine/core';
import { Link } from 'react-router';
import type { Completeness } from '../../api/contract/primitives.ts';
import { formatCount } from '../format.ts';
import { AlertIcon, CheckIcon, WaitIcon } from './icons.tsx';
import { Ago, Moment } from './moment.tsx';
import { Untrusted } from './untrusted.tsx';

/** Laggards named at once; the rest are counted. */
const NAMED = 4;

interface NamesProps {
  readonly names: readonly string[];
  readonly one: string;
  readonly many: string;
  readonly to: (name: string) => string;
}

function Names({ names, one, many, to }: NamesProps) {
  if (names.length === 0) return null;
  const rest = names.length - NAMED;
  return (
    <span>
      {names.length} {names.length === 1 ? one : many}:{' '}
      {names.slice(0, NAMED).map((name, index) => (
        <span key={name}>
          {index > 0 ? ', ' : ''}
          <Anchor component={Link} to={to(name)}>
            <Untrusted text={name} maxChars={32} focusable={false} />
          </Anchor>
        </span>
      ))}
      {rest > 0 ? (
        <>
          {' '}
          <Anchor component={Link} to="/nodes">
            and {rest} more
          </Anchor>
        </>
      ) : null}
    </span>
  );
}

function StateIcon({ complete, lagging }: { complete: Completeness; lagging: boolean }) {
  if (lagging) return <AlertIcon size={18} />;
  return complete.completeTo === null ? <WaitIcon size={18} /> : <CheckIcon size={18} />;
}

function When({ complete }: { complete: Completeness }) {
  if (complete.completeTo === null) return <strong>Nothing booked yet</strong>;
  return (
    <>
      <strong>
        Complete to <Moment iso={complete.completeTo} />
      </strong>{' '}
      <span className="soft">
        (<Ago iso={complete.completeTo} />)
      </span>
    </>
  );
}

function Laggards({ complete }: { complete: Completeness }) {
  return (
    <>
      <Names
        names={complete.laggingNodes}
        one="node lags"
        many="nodes lag"
        to={(name) => `/nodes/${encodeURIComponent(name)}`}
      />
      <Names
        names={complete.laggingSources}
        one="source lags"
        many="sources lag"
        to={() => '/nodes#sources'}
      />
    </>
  );
}

/**
 * Two lines whatever they say, so that a node which falls silent moves nothing. `scope` says what else is known, such as
 * "12 of 12 nodes report".
 */
export function CompletenessBanner({ complete, scope }: { complete?: Completeness; scope?: string }) {
  if (!complete) {
    return (
      <div className="completeness" aria-busy="true">
        <Skeleton height={18} width={380} maw="100%" />
      </div>
    );
  }
  const lagging = complete.laggingNodes.length + complete.laggingSources.length > 0;
  return (
    <section
      className={lagging ? 'completeness completeness-lagging' : 'completeness'}
      aria-label="How complete the picture is"
    >
      <span className="completeness-icon">
        <StateIcon complete={complete} lagging={lagging} />
      </span>
      <div className="completeness-lines">
        <div className="completeness-line">
          <span>
            <When complete={complete} />
          </span>
          {complete.settledTo === null ? null : (
            <span className="soft">
              Verdicts settled to <Moment iso={complete.settledTo} />
            </span>
          )}
          {complete.pendingCells > 0 ? (
            <span className="soft">{formatCount(complete.pendingCells)} device-hours are being computed</span>
          ) : null}
        </div>
        <div className="completeness-line">
          {lagging ? <Laggards complete={complete} /> : <span className="soft">No node or source lags</span>}
          {scope ? <span className="soft">{scope}</span> : null}
        </div>
      </div>
    </section>
  );
}
