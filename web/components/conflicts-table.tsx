/** Jobs that claim more of a device at one time than there is. */
import { Anchor } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { Conflict } from '../../api/contract/conflicts.ts';
import { formatGpuHours } from '../format.ts';
import { Badge } from './badges.tsx';
import { type Column, DataTable } from './data-table.tsx';
import { JobLink } from './job-link.tsx';
import { Moment } from './moment.tsx';
import { Untrusted } from './untrusted.tsx';

function Claims({ conflict }: { conflict: Conflict }) {
  return (
    <div>
      {conflict.claims.map((job) => (
        <div key={job.id}>
          <JobLink job={job} withName />{' '}
          <span className="soft small">
            account <Untrusted text={job.account} maxChars={28} focusable={false} />
          </span>
        </div>
      ))}
      {conflict.moreClaims > 0 ? (
        <div className="soft small">
          and {conflict.moreClaims} {conflict.moreClaims === 1 ? 'other job' : 'other jobs'}
        </div>
      ) : null}
    </div>
  );
}

const gpusOf = ({ devices }: Conflict): string =>
  devices.map(({ device, index }) => (index === null ? device : String(index))).join(', ');

const COLUMNS: readonly Column<Conflict>[] = [
  { key: 'claims', head: 'Claimed by', cell: (row) => <Claims conflict={row} /> },
  {
    key: 'devices',
    head: 'Devices',
    cell: (row) => (
      <div>
        <Anchor component={Link} to={`/nodes/${encodeURIComponent(row.node)}`}>
          <Untrusted text={row.node} maxChars={32} focusable={false} />
        </Anchor>
        <div className="soft small">GPU {gpusOf(row)}</div>
      </div>
    ),
  },
  { key: 'from', head: 'From', cell: (row) => <Moment iso={row.from} /> },
  {
    key: 'to',
    head: 'To',
    cell: (row) => (row.running ? <Badge tone="warn">Goes on</Badge> : <Moment iso={row.to} />),
  },
  {
    key: 'contested',
    head: 'Divided GPU-h',
    hint: 'GPU-hours that the ledger divides between them in equal parts; each is counted once',
    numeric: true,
    cell: (row) => formatGpuHours(row.contestedMs, 2),
  },
];

interface ConflictsTableProps {
  readonly conflicts: readonly Conflict[] | undefined;
  readonly empty: ReactNode;
}

export function ConflictsTable({ conflicts, empty }: ConflictsTableProps) {
  return (
    <DataTable
      caption="Jobs that claim more of the same devices than there is"
      columns={COLUMNS}
      rows={conflicts}
      rowKey={(row) => row.id}
      empty={empty}
    />
  );
}
