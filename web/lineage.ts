/** A finding's processes as the rows of a tree: parents before children, each with its depth. Pure. */
import type { ProcessView } from '../api/contract/findings.ts';

export interface LineageRow {
  readonly process: ProcessView;
  /** 1 for roots. */
  readonly level: number;
  readonly children: number;
  /** Place among its siblings, from 1, and how many they are: for screen readers. */
  readonly position: number;
  readonly siblings: number;
}

const byStart = (processes: readonly ProcessView[]): ProcessView[] =>
  processes.toSorted((a, b) => (a.startedAt ?? '').localeCompare(b.startedAt ?? '') || a.pid - b.pid);

/**
 * Rows in the order in which a tree is read. A process whose parent is not among the given ones is a root; a circle of
 * parents, which only a faulty record can hold, is entered at its first member and cut, not followed.
 */
function allRows(processes: readonly ProcessView[]): LineageRow[] {
  const known = new Map(processes.map((process) => [process.id, process]));
  const childrenOf = Map.groupBy(known.values(), (process) =>
    process.parentId !== null && known.has(process.parentId) ? process.parentId : null,
  );
  const rows: LineageRow[] = [];
  const seen = new Set<string>();
  const walk = (siblings: readonly ProcessView[], level: number): void => {
    for (const [index, process] of siblings.entries()) {
      if (seen.has(process.id)) continue;
      seen.add(process.id);
      const children = byStart(childrenOf.get(process.id) ?? []).filter((child) => !seen.has(child.id));
      rows.push({
        process,
        level,
        children: children.length,
        position: index + 1,
        siblings: siblings.length,
      });
      walk(children, level + 1);
    }
  };
  walk(byStart(childrenOf.get(null) ?? []), 1);
  for (const process of byStart(processes)) if (!seen.has(process.id)) walk([process], 1);
  return rows;
}

/** The rows that show while what is below the `collapsed` processes is folded away. */
export function lineageRows(
  processes: readonly ProcessView[],
  collapsed: ReadonlySet<string> = new Set(),
): LineageRow[] {
  let foldedAt = Number.POSITIVE_INFINITY;
  return allRows(processes).filter((row) => {
    if (row.level > foldedAt) return false;
    foldedAt = collapsed.has(row.process.id) ? row.level : Number.POSITIVE_INFINITY;
    return true;
  });
}
