/** Findings, one row a source. The same columns wherever findings are listed. */
import type { ReactNode } from 'react';
import type { Finding } from '../../api/contract/findings.ts';
import { formatGpuHours, formatMoney, UNKNOWN } from '../format.ts';
import { evidenceWords, KIND_WORDS, reasonWords } from '../words.ts';
import { ModeBadge, RunningBadge, StateBadge } from './badges.tsx';
import { type Column, DataTable, type Sorting } from './data-table.tsx';
import { FindingSource } from './finding-source.tsx';
import { JobLink } from './job-link.tsx';
import { Moment } from './moment.tsx';

const SOURCE: Column<Finding> = {
  key: 'source',
  head: 'Source process',
  cell: (finding) => <FindingSource finding={finding} />,
};
const REASON: Column<Finding> = {
  key: 'reason',
  head: 'Reason',
  cell: (finding) => (
    <div className="reason">
      {reasonWords(finding.reason)}
      {finding.insideJob ? (
        <div className="soft small">
          <JobLink job={finding.insideJob} />
        </div>
      ) : null}
      {finding.kind === 'compute' ? null : <div className="soft small">{KIND_WORDS[finding.kind]}</div>}
    </div>
  ),
};
const STATE: Column<Finding> = {
  key: 'state',
  head: 'State',
  sort: 'rank',
  hint: 'Sorts by how much a finding matters, then by the score of its signals',
  cell: (finding) => (
    <span className="badges">
      <StateBadge finding={finding} />
      <ModeBadge mode={finding.mode} />
    </span>
  ),
};
const ACTIVE: Column<Finding> = {
  key: 'active',
  head: 'Active GPU-h',
  sort: 'activeMs',
  numeric: true,
  hint: 'GPU-hours in which it was executing',
  cell: (finding) =>
    finding.kind === 'compute' ? (
      <span className={finding.state === 'settled' && finding.activeMs > 0 ? 'bad' : undefined}>
        {formatGpuHours(finding.activeMs, 2)}
      </span>
    ) : (
      UNKNOWN
    ),
};
const RESIDENT: Column<Finding> = {
  key: 'resident',
  head: 'Resident GPU-h',
  sort: 'residentMs',
  numeric: true,
  hint: 'GPU-hours in which it only held memory, on a device that no job holds',
  cell: (finding) => (finding.kind === 'compute' ? formatGpuHours(finding.residentMs, 2) : UNKNOWN),
};
const VALUE: Column<Finding> = {
  key: 'value',
  head: 'Value',
  sort: 'value',
  numeric: true,
  hint: 'Value of the active time at the devices’ rates: not a charge',
  cell: (finding) => formatMoney(finding.value),
};
const EVIDENCE: Column<Finding> = {
  key: 'evidence',
  head: 'Tie to a job',
  hint: 'The strongest thing that ties the process to a job',
  cell: (finding) => evidenceWords(finding.evidence),
};
const FIRST: Column<Finding> = {
  key: 'first',
  head: 'First seen',
  sort: 'firstSeen',
  cell: (finding) => <Moment iso={finding.firstSeen} stacked />,
};
const LAST: Column<Finding> = {
  key: 'last',
  head: 'Last seen',
  sort: 'lastSeen',
  cell: (finding) => <Moment iso={finding.lastSeen} stacked />,
};
const RUNNING: Column<Finding> = {
  key: 'running',
  head: 'Running',
  cell: (finding) => <RunningBadge running={finding.running} />,
};

const ALL = [SOURCE, REASON, STATE, ACTIVE, RESIDENT, VALUE, EVIDENCE, FIRST, LAST, RUNNING];
const BRIEF = [SOURCE, REASON, STATE, ACTIVE, VALUE, FIRST, RUNNING].map(({ sort: _, ...column }) => column);

interface FindingsTableProps {
  readonly findings: readonly Finding[] | undefined;
  readonly caption: string;
  readonly empty: ReactNode;
  /** Fewer columns, no sorting: the worst of the overview. */
  readonly brief?: boolean;
  readonly sorting?: Sorting;
}

export function FindingsTable({ findings, caption, empty, brief = false, sorting }: FindingsTableProps) {
  return (
    <DataTable
      caption={caption}
      columns={brief ? BRIEF : ALL}
      rows={findings}
      rowKey={(finding) => finding.id}
      rowClass={(finding) =>
        finding.kind === 'compute' && finding.state === 'settled' ? 'row-settled' : 'row-awaiting'
      }
      {...(sorting ? { sorting } : {})}
      empty={empty}
    />
  );
}
