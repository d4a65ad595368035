/** A job by the name its source knows it by. */
import { Anchor } from '@mantine/core';
import { Link } from 'react-router';
import type { JobRef } from '../../api/contract/jobs.ts';
import { Untrusted } from './untrusted.tsx';

export function JobLink({ job, withName = false }: { job: JobRef; withName?: boolean }) {
  return (
    <span>
      <Anchor component={Link} to={`/jobs/${encodeURIComponent(job.id)}`}>
        {job.source} <Untrusted text={job.externalId} maxChars={36} focusable={false} />
      </Anchor>
      {withName && job.name !== '' ? (
        <span className="soft">
          {' '}
          <Untrusted text={job.name} maxChars={40} />
        </span>
      ) : null}
    </span>
  );
}
