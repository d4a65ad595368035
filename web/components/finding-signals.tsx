/** What makes a finding worth a look before others, and the other findings that it is one story with. Neither is a verdict. */
import { Anchor } from '@mantine/core';
import { Link } from 'react-router';
import type { FindingDetail } from '../../api/contract/findings.ts';
import { formatGpuHours, formatMoney, UNKNOWN } from '../format.ts';
import { reasonWords } from '../words.ts';
import { type Column, DataTable } from './data-table.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

const DETAIL_CHARS = 600;

type SignalRow = FindingDetail['signals'][number];

/** Numbered before, then since v19 where another number is known. */
const techniques = ({ attack: { before, after } }: SignalRow): string =>
  (before.join(', ') || UNKNOWN) + (after.length === 0 ? '' : ` (since v19 ${after.join(', ')})`);

const SIGNALS: readonly Column<SignalRow>[] = [
  {
    key: 'signal',
    head: 'Signal',
    cell: (row) => (
      <>
        {row.title}
        <div className="soft small">
          <Untrusted text={row.detail} maxChars={DETAIL_CHARS} />
        </div>
      </>
    ),
  },
  {
    key: 'points',
    head: 'Points',
    numeric: true,
    hint: 'What it adds to the score: its weight, as strongly as it was seen',
    cell: (row) => Math.floor((row.weight * row.strength) / 100),
  },
  { key: 'attack', head: 'ATT&CK', cell: techniques },
  { key: 'source', head: 'Known from', cell: (row) => <span className="soft small">{row.source}</span> },
];

export function Signals({ finding }: { finding: FindingDetail }) {
  return (
    <Section
      title={`Signals: ${finding.score} of 100`}
      hint="They say which finding to look at first. They prove nothing, and never change a verdict or a severity."
      padded={finding.signals.length === 0}
    >
      <DataTable
        caption="Signals of this finding, the heaviest first"
        columns={SIGNALS}
        rows={finding.signals}
        rowKey={(row) => row.id}
        empty={<p className="soft">None was seen.</p>}
      />
    </Section>
  );
}

type Member = NonNullable<FindingDetail['series']>['findings'][number];

const memberColumns = (shown: string): readonly Column<Member>[] => [
  {
    key: 'finding',
    head: 'Finding',
    cell: (row) =>
      row.id === shown ? (
        'This one'
      ) : (
        <Anchor component={Link} to={`/findings/${encodeURIComponent(row.id)}`}>
          {reasonWords(row.reason)}
        </Anchor>
      ),
  },
  { key: 'node', head: 'Node', cell: (row) => <Untrusted text={row.node} maxChars={40} /> },
  {
    key: 'program',
    head: 'Program',
    cell: (row) => <Untrusted text={row.executable ?? '?'} maxChars={48} mono />,
  },
  {
    key: 'why',
    head: 'Agrees in',
    cell: (row) => <Untrusted text={row.why.join('; ')} maxChars={DETAIL_CHARS} />,
  },
  {
    key: 'active',
    head: 'Active GPU-h',
    numeric: true,
    cell: (row) => formatGpuHours(row.activeMs, 2),
  },
  { key: 'first', head: 'First seen', cell: (row) => <Moment iso={row.firstSeen} stacked /> },
  { key: 'last', head: 'Last seen', cell: (row) => <Moment iso={row.lastSeen} stacked /> },
];

export function Series({ finding }: { finding: FindingDetail }) {
  const { series } = finding;
  if (series === null) return null;
  const nodes = series.nodes.length === 1 ? 'one node' : `${series.nodes.length} nodes`;
  return (
    <Section
      title="One story with other findings"
      hint={
        <>
          Seen on {nodes} since <Moment iso={series.firstSeen} precision="second" />,{' '}
          {formatGpuHours(series.activeMs, 2)} GPU-hours in all
          {series.value === null ? '' : `, worth ${formatMoney(series.value)}`}. {series.rhythm} That they
          agree proves no common author.
        </>
      }
      padded={false}
    >
      <DataTable
        caption="Findings of this series, the oldest first"
        columns={memberColumns(finding.id)}
        rows={series.findings}
        rowKey={(row) => row.id}
        empty={null}
      />
    </Section>
  );
}
