/** Which source a finding is about: executable, process, node. Links to the finding. */
import { Anchor } from '@mantine/core';
import { Link } from 'react-router';
import type { Finding } from '../../api/contract/findings.ts';
import { Untrusted } from './untrusted.tsx';

/** What names the source best: the executable, else the process name, else the device or the node. */
export function sourceName(finding: Finding): string {
  const { source, devices, kind } = finding;
  const device = devices[0];
  const place = device ? `GPU ${device.index ?? device.uuid}` : 'the node';
  // Of a hidden process the pid may be all that is known.
  const named = source.executable || source.comm || (source.pid === null ? '' : `pid ${source.pid}`);
  if (named !== '') return named;
  return kind === 'compute' ? `No process seen on ${place}` : `${place} itself`;
}

export function FindingSource({ finding }: { finding: Finding }) {
  const { source, devices } = finding;
  const indexes = devices.map((device) => device.index ?? '?').join(', ');
  return (
    <div className="finding-source">
      <Anchor component={Link} to={`/findings/${encodeURIComponent(finding.id)}`} className="mono">
        <Untrusted text={sourceName(finding)} maxChars={44} focusable={false} />
      </Anchor>
      <div className="soft small">
        {source.pid === null ? null : <>pid {source.pid} · </>}
        {source.user === null ? null : (
          <>
            OS account <Untrusted text={source.user} maxChars={24} focusable={false} /> ·{' '}
          </>
        )}
        <Untrusted text={finding.node} maxChars={32} focusable={false} />
        {devices.length > 0 ? <> · GPU {indexes}</> : null}
      </div>
    </div>
  );
}
