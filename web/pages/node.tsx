/** One node: its agent, its devices, its problems. */
import { Anchor } from '@mantine/core';
import { Link, useParams } from 'react-router';
import type { DeviceOut, NodeOut } from '../../api/contract/fleet.ts';
import { AgentHealth } from '../components/agent-health.tsx';
import { ModeBadge } from '../components/badges.tsx';
import { type Column, DataTable } from '../components/data-table.tsx';
import { nowWords } from '../components/device-grid.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { FindingsTable } from '../components/findings-table.tsx';
import { Ago, Moment } from '../components/moment.tsx';
import { NodeConditions } from '../components/node-conditions.tsx';
import { NodeKeys } from '../components/node-keys.tsx';
import { HostFacts, NodeTools } from '../components/node-tools.tsx';
import { PageHead } from '../components/page-head.tsx';
import { PagePlaceholder } from '../components/page-placeholder.tsx';
import { Section } from '../components/section.tsx';
import { SumsBar } from '../components/sums-bar.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatDuration, formatGpuHours, formatPercent } from '../format.ts';
import { useDevices, useFindings, useNode } from '../queries.ts';

const GIB = 2 ** 30;

const DEVICES: readonly Column<DeviceOut>[] = [
  { key: 'index', head: 'GPU', cell: (device) => device.index ?? '?' },
  {
    key: 'now',
    head: 'Now',
    cell: (device) => (
      <span className="now">
        <span className={`swatch part-${device.now}`} aria-hidden="true" /> {nowWords(device.now)}
      </span>
    ),
  },
  { key: 'model', head: 'Model', cell: (device) => <Untrusted text={device.model} maxChars={40} /> },
  {
    key: 'memory',
    head: 'Memory',
    numeric: true,
    cell: (device) => (device.memoryBytes === null ? '–' : `${Math.round(device.memoryBytes / GIB)} GiB`),
  },
  { key: 'bus', head: 'Bus', cell: (device) => <Untrusted text={device.busId} maxChars={24} mono /> },
  { key: 'uuid', head: 'UUID', cell: (device) => <Untrusted text={device.uuid} maxChars={48} mono /> },
  {
    key: 'since',
    head: 'In the fleet since',
    cell: (device) => (
      <span>
        <Moment iso={device.capacityFrom} />
        {device.capacityTo === null ? null : (
          <>
            {' '}
            to <Moment iso={device.capacityTo} />
          </>
        )}
      </span>
    ),
  },
];

type Problem = NodeOut['problems'][number];
const PROBLEMS: readonly Column<Problem>[] = [
  { key: 'at', head: 'When', cell: (problem) => <Moment iso={problem.at} precision="second" /> },
  { key: 'source', head: 'From', cell: (problem) => <Untrusted text={problem.source} maxChars={32} mono /> },
  { key: 'message', head: 'What', cell: (problem) => <Untrusted text={problem.message} maxChars={160} /> },
];

function AgentFacts({ node }: { node: NodeOut }) {
  const { agent } = node;
  if (!agent) {
    return (
      <>
        <p>
          This node is in the fleet list, and no agent has ever reported from it: all of its time counts as
          not measured. To enrol it, make a token and start an agent there:
        </p>
        <pre className="command">{`npx gpuledger token create --role agent --node ${node.name}`}</pre>
      </>
    );
  }
  const facts = [
    ['Version', agent.version],
    ['Driver', agent.driverVersion ?? 'not known'],
    ['Polls every', formatDuration(agent.pollIntervalMs)],
    ['Batches sent', String(agent.seq)],
    ['Stream', agent.stream],
    ['Boot', agent.bootId],
  ] as const;
  return (
    <dl className="facts">
      <div className="fact">
        <dt>Last heard</dt>
        <dd>
          <Moment iso={agent.lastHeard} precision="second" /> (<Ago iso={agent.lastHeard} />)
        </dd>
      </div>
      <div className="fact">
        <dt>Complete to</dt>
        <dd>
          <Moment iso={agent.completeTo} precision="second" />
        </dd>
      </div>
      {facts.map(([name, text]) => (
        <div key={name} className="fact">
          <dt>{name}</dt>
          <dd>
            <Untrusted text={text} maxChars={40} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Day({ node }: { node: NodeOut }) {
  const { last24h } = node;
  return (
    <Section
      title="Last 24 hours"
      aside={
        last24h.capacityMs === 0 ? null : (
          <span className="soft">
            {formatPercent(last24h.capacityMs - last24h.unobservedMs, last24h.capacityMs)} measured of{' '}
            {formatGpuHours(last24h.capacityMs, 1)} GPU-h
          </span>
        )
      }
    >
      <div className="sums-bar-big">
        <SumsBar sums={last24h} label="Last 24 hours" />
      </div>
    </Section>
  );
}

function NodeFindings({ name }: { name: string }) {
  const { data } = useFindings({ node: name, sort: 'lastSeen', order: 'desc' });
  return (
    <Section
      title="Findings here"
      padded={false}
      aside={
        <Anchor component={Link} to={`/unaccounted?node=${encodeURIComponent(name)}`}>
          All of this node
        </Anchor>
      }
    >
      <FindingsTable
        brief
        caption={`Findings on ${name}`}
        findings={data?.pages[0]?.items.slice(0, 10)}
        empty={<Empty title="Nothing without a declaration here" />}
      />
    </Section>
  );
}

const BACK = { to: '/nodes', label: 'All nodes' } as const;

export function NodePage() {
  const { name = '' } = useParams();
  const { data: node, error, refetch } = useNode(name);
  const devices = useDevices(name);
  if (error && !node) return <Failure error={error} retry={() => void refetch()} back={BACK} />;
  if (!node) return <PagePlaceholder />;
  return (
    <>
      <nav aria-label="Back" className="crumbs">
        <Anchor component={Link} to="/nodes">
          Nodes
        </Anchor>
      </nav>
      <PageHead
        title={`Node ${node.name}`}
        heading={<Untrusted text={node.name} maxChars={60} />}
        lead={
          <>
            Group <Untrusted text={node.group} maxChars={32} />, {formatDevices(node)}
          </>
        }
        aside={
          <span className="badges">
            <AgentHealth node={node} />
            <ModeBadge mode={node.mode} />
          </span>
        }
      />
      <Day node={node} />
      <NodeConditions node={node} />
      <Section title="Devices" padded={false}>
        <DataTable
          caption={`Devices of ${node.name}`}
          columns={DEVICES}
          rows={devices.data?.items}
          rowKey={(device) => device.uuid}
          placeholders={node.devices}
          empty={
            <Empty title="No GPUs">
              <p>The agent finds no NVIDIA driver on this node, or no device.</p>
            </Empty>
          }
        />
      </Section>
      <NodeFindings name={node.name} />
      <NodeTools node={node} />
      {node.host ? <HostFacts host={node.host} /> : null}
      <Section title="Agent">
        <AgentFacts node={node} />
      </Section>
      {node.enrolled ? <NodeKeys node={node.name} /> : null}
      <Section title="Problems" hint="Newest first, at most 20." padded={false}>
        <DataTable
          caption={`Problems that the agent of ${node.name} reported`}
          columns={PROBLEMS}
          rows={node.problems}
          rowKey={(problem) => `${problem.at} ${problem.source} ${problem.message}`}
          empty={<Empty title="None reported" />}
        />
      </Section>
    </>
  );
}

const formatDevices = (node: NodeOut): string => `${node.devices} GPU${node.devices === 1 ? '' : 's'}`;
