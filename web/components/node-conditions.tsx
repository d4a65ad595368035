/** What schedulers say of a node, and how much of its idle and not measured time that explains. */
import type { NodeDetail } from '../../api/contract/integrity.ts';
import { formatGpuHours } from '../format.ts';
import { SERIES_LABELS } from '../words.ts';
import { type Column, DataTable } from './data-table.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

type Condition = NodeDetail['conditions'][number];

const WORDS: Readonly<Record<Condition['condition'], string>> = {
  down: 'Down',
  maintenance: 'In maintenance',
  drained: 'Drained',
  reserved: 'Reserved',
};

const COLUMNS: readonly Column<Condition>[] = [
  { key: 'condition', head: 'Condition', cell: (one) => WORDS[one.condition] },
  { key: 'from', head: 'From', cell: (one) => <Moment iso={one.from} precision="second" /> },
  {
    key: 'to',
    head: 'To',
    cell: (one) => (one.to === null ? 'Still so' : <Moment iso={one.to} precision="second" />),
  },
  { key: 'reason', head: 'Reason', cell: (one) => <Untrusted text={one.reason} maxChars={120} /> },
  {
    key: 'source',
    head: 'Said by',
    cell: (one) => <Untrusted text={`${one.source} ${one.sourceInstance}`} maxChars={48} />,
  },
];

export function NodeConditions({ node: { name, conditions, reasons } }: { node: NodeDetail }) {
  if (conditions.length === 0) return null;
  return (
    <Section
      title="Why it had no job"
      padded={false}
      aside={
        <span className="soft">
          {reasons
            .map((one) => {
              const hours = formatGpuHours(one.ms, 1);
              return `${SERIES_LABELS[one.bucket]} while ${WORDS[one.condition].toLowerCase()}: ${hours} GPU-h of 24 hours`;
            })
            .join('; ')}
        </span>
      }
    >
      <DataTable
        caption={`What schedulers say of ${name}`}
        columns={COLUMNS}
        rows={conditions}
        rowKey={(one) => `${one.source} ${one.sourceInstance} ${one.condition} ${one.from}`}
        empty={null}
      />
    </Section>
  );
}
