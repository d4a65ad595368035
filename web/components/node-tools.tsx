/** What the GPUs of one node are read with, and the machine that it is. */
import type { NodeDetail, ToolOut } from '../../api/contract/integrity.ts';
import { formatCount } from '../format.ts';
import { TOOL_WORDS } from '../words.ts';
import { type Column, DataTable } from './data-table.tsx';
import { Empty } from './failure.tsx';
import { FileHash } from './fleet-tools.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

const GIB = 2 ** 30;

const ownerOf = ({ ownerUid }: ToolOut): string =>
  ownerUid === null ? 'Not known' : ownerUid === 0 ? 'root' : `uid ${ownerUid}`;

const COLUMNS: readonly Column<ToolOut>[] = [
  { key: 'role', head: 'File', cell: (tool) => TOOL_WORDS[tool.role] },
  { key: 'path', head: 'Path', cell: (tool) => <Untrusted text={tool.path} maxChars={56} mono /> },
  {
    key: 'version',
    head: 'Version',
    cell: (tool) => <Untrusted text={tool.version} maxChars={24} />,
  },
  { key: 'sha256', head: 'SHA-256', cell: (tool) => <FileHash sha256={tool.sha256} /> },
  { key: 'owner', head: 'Owner', cell: ownerOf },
  {
    key: 'size',
    head: 'Bytes',
    numeric: true,
    cell: (tool) => (tool.sizeBytes === null ? '–' : formatCount(tool.sizeBytes)),
  },
];

export function NodeTools({ node }: { node: NodeDetail }) {
  return (
    <Section
      title="What its GPUs are read with"
      hint="Whoever can change one of these files can change what the agent sees."
      aside={
        node.toolsListedAt === null ? null : (
          <span className="soft">
            Listed <Moment iso={node.toolsListedAt} />
          </span>
        )
      }
      padded={false}
    >
      <DataTable
        caption={`Files through which the GPUs of ${node.name} are read`}
        columns={COLUMNS}
        rows={node.tools ?? []}
        rowKey={(tool) => `${tool.role} ${tool.path}`}
        empty={
          <Empty title={node.tools === null ? 'Its agent never listed them' : 'None of them was found'} />
        }
      />
    </Section>
  );
}

export function HostFacts({ host }: { host: NonNullable<NodeDetail['host']> }) {
  const { memoryBytes, cores } = host;
  const facts = [
    ['Operating system', host.operatingSystem],
    ['Kernel', host.kernel],
    ['Processor', host.processor],
    ['Cores', cores === null ? null : formatCount(cores)],
    ['Memory', memoryBytes === null ? null : `${Math.round(memoryBytes / GIB)} GiB`],
    ['Virtualisation', host.virtualisation],
  ] as const;
  return (
    <Section title="Machine">
      <dl className="facts">
        {facts.map(([name, text]) => (
          <div key={name} className="fact">
            <dt>{name}</dt>
            <dd>
              <Untrusted text={text} maxChars={48} />
            </dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}
