/** The keys by which a node signs what it sends, and which of them somebody must still say something of. */
import type { NodeKeyOut } from '../../api/contract/keys.ts';
import { useKeys } from '../queries.ts';
import { type Column, DataTable } from './data-table.tsx';
import { Empty } from './failure.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

function State({ first, accepted, waiting }: NodeKeyOut) {
  if (waiting) return <strong>Nobody has accepted it</strong>;
  if (accepted === null) return <span>{first ? 'Its first one' : '–'}</span>;
  return (
    <span>
      Accepted by <Untrusted text={accepted.by} maxChars={32} /> <Moment iso={accepted.at} />
    </span>
  );
}

const COLUMNS: readonly Column<NodeKeyOut>[] = [
  { key: 'key', head: 'Key', cell: (key) => <Untrusted text={key.key} maxChars={16} mono /> },
  { key: 'first', head: 'First used', cell: (key) => <Moment iso={key.firstUsed} /> },
  { key: 'by', head: 'Token', cell: (key) => <Untrusted text={key.recordedBy} maxChars={32} /> },
  { key: 'state', head: 'State', cell: State },
];

export function NodeKeys({ node }: { node: string }) {
  const { data } = useKeys(node);
  return (
    <Section
      title="Keys"
      hint="What the node sends is signed. Any key but its first is a finding until an administrator accepts it."
      padded={false}
    >
      <DataTable
        caption={`Keys by which ${node} signs`}
        columns={COLUMNS}
        rows={data?.items}
        rowKey={({ key }) => key}
        empty={<Empty title="Its agent has not signed yet" />}
      />
    </Section>
  );
}
