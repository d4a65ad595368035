/** GET /v1/integrity: the files through which GPUs are read, compared over the nodes of each driver version. */
import { TOOL_ROLES, type ToolFact } from '../../contract/batch.ts';
import type { FleetIntegrity, ToolVariant } from '../../contract/integrity.ts';
import type { NodeFilesRow, Questions } from '../../store/questions.ts';

const NAMES_MAX = 20;
const DIFFERING_MAX = 200;
const GROUPS_MAX = 100;
const VARIANTS_MAX = 20;

/** A node that has listed its files. */
interface Listed extends NodeFilesRow {
  readonly tools: readonly ToolFact[];
}
const hasListed = (row: NodeFilesRow): row is Listed => row.tools !== null;

type Group = FleetIntegrity['groups'][number];

/** A group and what its nodes have, each variant with all of its nodes. */
interface Compared {
  readonly group: Group;
  readonly variants: readonly { readonly variant: ToolVariant; readonly nodes: readonly string[] }[];
}

export async function askIntegrity(questions: Questions): Promise<FleetIntegrity> {
  return compareFleet(await questions.nodeFiles());
}

/** `rows` by name of the node. */
function compareFleet(rows: readonly NodeFilesRow[]): FleetIntegrity {
  const listed = rows.filter(hasListed);
  const compared = TOOL_ROLES.flatMap((role) => compareRole(role, listed));
  const differing = compared.flatMap(differingOf);
  const without = listed.filter(({ tools, driverVersion }) => {
    return driverVersion !== null && !tools.some((tool) => tool.role === 'libnvidia_ml');
  });
  // Without a majority nobody differs from it, and yet the nodes do not agree.
  const agreed = compared.every(({ group: { driverVersion, variants } }) => {
    return driverVersion === null || variants.filter(wasRead).length <= 1;
  });
  return {
    ok: agreed && without.length === 0,
    nodes: listed.length,
    groups: compared
      .slice(0, GROUPS_MAX)
      .map(({ group }) => ({ ...group, variants: group.variants.slice(0, VARIANTS_MAX) })),
    differing: {
      nodes: new Set(differing.map((one) => one.node)).size,
      items: differing.slice(0, DIFFERING_MAX),
    },
    withoutLibrary: named(without.map(({ node }) => node)),
    unlisted: named(rows.filter(({ tools }) => tools === null).map(({ node }) => node)),
  };
}

const named = (nodes: readonly string[]): { nodes: number; names: string[] } => ({
  nodes: nodes.length,
  names: nodes.slice(0, NAMES_MAX),
});

/** What could not be read equals nothing and differs from nothing. */
const wasRead = ({ files }: ToolVariant): boolean => files.every(({ sha256 }) => sha256 !== null);

/** One group for each driver version; a role that no node of a version has makes none. */
function compareRole(role: Group['role'], listed: readonly Listed[]): Compared[] {
  const byDriver = Map.groupBy(listed, (row) => row.driverVersion);
  return [...byDriver]
    .sort(([a], [b]) => compareText(a ?? '', b ?? ''))
    .flatMap(([driverVersion, rows]) => {
      const variants = variantsOf(role, rows);
      if (variants.every(({ variant }) => variant.files.length === 0)) return [];
      const group = { role, driverVersion, nodes: rows.length, variants: variants.map((one) => one.variant) };
      return [{ group, variants }];
    });
}

function variantsOf(role: Group['role'], rows: readonly Listed[]): Compared['variants'] {
  const filesOf = ({ tools }: Listed): ToolVariant['files'] =>
    tools
      .filter((tool) => tool.role === role)
      .map(({ sha256, version }) => ({ sha256, version }))
      .sort((a, b) => compareText(a.sha256 ?? '', b.sha256 ?? ''));
  // Under another name the same bytes are the same file.
  const byFiles = Map.groupBy(rows, (row) =>
    filesOf(row)
      .map((file) => file.sha256 ?? '?')
      .join(' '),
  );
  return [...byFiles.values()]
    .map((own) => {
      const [first] = own;
      const files = first === undefined ? [] : filesOf(first);
      const nodes = own.map(({ node }) => node);
      return { variant: { files, usual: own.length * 2 > rows.length, ...named(nodes) }, nodes };
    })
    .sort((a, b) => b.nodes.length - a.nodes.length || compareText(a.nodes[0] ?? '', b.nodes[0] ?? ''));
}

function differingOf({
  group: { role, driverVersion },
  variants,
}: Compared): FleetIntegrity['differing']['items'] {
  if (driverVersion === null || !variants.some(({ variant }) => variant.usual && wasRead(variant))) return [];
  return variants
    .filter(({ variant }) => !variant.usual && wasRead(variant))
    .flatMap(({ nodes }) => nodes.map((node) => ({ node, role, driverVersion })));
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
