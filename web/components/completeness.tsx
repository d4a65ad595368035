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
    <span className="completeness-item">
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

/** `scope` says what else is known, such as "12 nodes report". */
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
    <div className={lagging ? 'completeness completeness-lagging' : 'completeness'} role="status">
      <span className="completeness-item">
        <span className="completeness-icon">
          <StateIcon complete={complete} lagging={lagging} />
        </span>
        {complete.completeTo === null ? (
          <strong>Nothing booked yet</strong>
        ) : (
          <>
            <strong>
              Complete to <Moment iso={complete.completeTo} />
            </strong>{' '}
            <span className="soft">
              (<Ago iso={complete.completeTo} />)
            </span>
          </>
        )}
      </span>
      {complete.settledTo !== null && complete.settledTo !== complete.completeTo ? (
        <span className="completeness-item soft">
          Settled to <Moment iso={complete.settledTo} />
        </span>
      ) : null}
      {scope ? <span className="completeness-item soft">{scope}</span> : null}
      <Names
        names={complete.laggingNodes}
        one="node is silent"
        many="nodes are silent"
        to={(name) => `/nodes/${encodeURIComponent(name)}`}
      />
      <Names
        names={complete.laggingSources}
        one="source lags"
        many="sources lag"
        to={() => '/nodes#sources'}
      />
      {complete.pendingCells > 0 ? (
        <span className="completeness-item soft">
          {formatCount(complete.pendingCells)} device-hours are being computed
        </span>
      ) : null}
    </div>
  );
}
