/** What the GPUs of the fleet are read with, by driver version, and which nodes differ. */
import { Anchor } from '@mantine/core';
import { Fragment } from 'react';
import { Link } from 'react-router';
import type { FleetIntegrity, ToolVariant } from '../../api/contract/integrity.ts';
import { formatCount } from '../format.ts';
import { useIntegrity } from '../queries.ts';
import { TOOL_WORDS } from '../words.ts';
import { Badge } from './badges.tsx';
import { type Column, DataTable } from './data-table.tsx';
import { Empty, Failure } from './failure.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

/** Enough of a hash to tell files apart by eye; the whole is a hover away. */
const HASH_CHARS = 13;
const NAMES_SHOWN = 5;

export function FileHash({ sha256 }: { sha256: string | null }) {
  return sha256 === null ? (
    <span className="soft">Could not be read</span>
  ) : (
    <Untrusted text={sha256} maxChars={HASH_CHARS} mono />
  );
}

function NodeNames({ names, nodes }: { names: readonly string[]; nodes: number }) {
  const shown = names.slice(0, NAMES_SHOWN);
  return (
    <>
      {shown.map((name, index) => (
        <Fragment key={name}>
          {index > 0 ? ', ' : ''}
          <Anchor component={Link} to={`/nodes/${encodeURIComponent(name)}`}>
            <Untrusted text={name} maxChars={32} focusable={false} />
          </Anchor>
        </Fragment>
      ))}
      {nodes > shown.length ? (
        <span className="soft"> and {formatCount(nodes - shown.length)} more</span>
      ) : null}
    </>
  );
}

interface Row extends ToolVariant {
  readonly group: FleetIntegrity['groups'][number];
}
const rowsOf = ({ groups }: FleetIntegrity): Row[] =>
  groups.flatMap((group) => group.variants.map((variant) => ({ ...variant, group })));

const COLUMNS: readonly Column<Row>[] = [
  { key: 'role', head: 'File', cell: ({ group }) => TOOL_WORDS[group.role] },
  {
    key: 'driver',
    head: 'Driver',
    cell: ({ group }) => <Untrusted text={group.driverVersion ?? 'Not known'} maxChars={24} />,
  },
  { key: 'nodes', head: 'Nodes', numeric: true, cell: (row) => formatCount(row.nodes) },
  {
    key: 'files',
    head: 'SHA-256',
    cell: ({ files }) =>
      files.length === 0 ? (
        <span className="soft">None found</span>
      ) : (
        files.map(({ sha256, version }) => (
          <div key={`${sha256} ${version}`}>
            <FileHash sha256={sha256} />{' '}
            {version === null ? null : (
              <span className="soft">
                <Untrusted text={version} maxChars={24} />
              </span>
            )}
          </div>
        ))
      ),
  },
  {
    key: 'which',
    head: 'Which',
    cell: (row) => (row.usual ? <span className="soft">Most</span> : <NodeNames {...row} />),
  },
];

function Verdict({ answer }: { answer: FleetIntegrity }) {
  const { ok, nodes, differing, withoutLibrary } = answer;
  if (nodes === 0) return null;
  if (ok) return <Badge tone="ok">All agree</Badge>;
  if (differing.nodes === 0 && withoutLibrary.nodes === 0) return <Badge tone="warn">No agreement</Badge>;
  const count = differing.nodes || withoutLibrary.nodes;
  const what = differing.nodes > 0 ? (count === 1 ? 'differs' : 'differ') : 'without libnvidia-ml';
  return <Badge tone="warn">{`${formatCount(count)} ${count === 1 ? 'node' : 'nodes'} ${what}`}</Badge>;
}

function Named({ title, of }: { title: string; of: FleetIntegrity['unlisted'] }) {
  if (of.nodes === 0) return null;
  return (
    <p className="section-note">
      {title}: <NodeNames {...of} />
    </p>
  );
}

export function FleetTools() {
  const { data, error, refetch } = useIntegrity();
  return (
    <Section
      title="What the GPUs are read with"
      hint="Nodes with the same driver version should read their GPUs with the same files."
      aside={data ? <Verdict answer={data} /> : null}
      padded={false}
    >
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <>
          <DataTable
            caption="Files through which GPUs are read, by driver version"
            columns={COLUMNS}
            rows={data ? rowsOf(data) : undefined}
            rowKey={(row) =>
              `${row.group.role} ${row.group.driverVersion} ${row.files.map((file) => file.sha256).join(' ')}`
            }
            placeholders={2}
            empty={<Empty title="No agent has listed them yet" />}
          />
          {data ? (
            <>
              <Named title="A driver, but no libnvidia-ml found" of={data.withoutLibrary} />
              <Named title="Agents that never listed their files" of={data.unlisted} />
            </>
          ) : null}
        </>
      )}
    </Section>
  );
}
