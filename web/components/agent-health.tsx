/** How a node's agent does, in a word. */
import type { NodeOut } from '../../api/contract/fleet.ts';
import { Badge } from './badges.tsx';
import { Ago } from './moment.tsx';

export function AgentHealth({ node }: { node: NodeOut }) {
  if (!node.enrolled || node.agent === null) return <Badge tone="warn">Not enrolled</Badge>;
  if (node.agent.silent) {
    return (
      <span>
        <Badge tone="warn">Silent</Badge>{' '}
        <span className="soft small">
          last heard <Ago iso={node.agent.lastHeard} />
        </span>
      </span>
    );
  }
  return (
    <span>
      <Badge tone="ok">Reports</Badge>{' '}
      <span className="soft small">
        <Ago iso={node.agent.lastHeard} />
      </span>
    </span>
  );
}
