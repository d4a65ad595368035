/** The source process among its ancestors and descendants, as a tree for keyboard and mouse, with details of one. */
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import type { ProcessView } from '../../api/contract/findings.ts';
import { formatGpuHours } from '../format.ts';
import { type LineageRow, lineageRows } from '../lineage.ts';
import { toggled } from '../toggled.ts';
import { ProcessDetails } from './process-details.tsx';
import { Untrusted } from './untrusted.tsx';

const ROLE_WORDS: Readonly<Record<ProcessView['role'], string>> = {
  source: 'Source',
  ancestor: 'Ancestor',
  sibling: 'Beside it',
  declared: 'Declared job',
};

/** Deeper trees are indented no further; the chain of processes on a real host is far shorter. */
const MAX_INDENTS = 16;

interface ItemProps {
  readonly row: LineageRow;
  readonly selected: boolean;
  readonly collapsed: boolean;
  readonly select: () => void;
  readonly toggle: () => void;
}

function Item({ row, selected, collapsed, select, toggle }: ItemProps) {
  const { process, level, children } = row;
  const onToggle = () => {
    select();
    if (children > 0) toggle();
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree handles every key for its items.
    <div
      role="treeitem"
      data-process={process.id}
      aria-level={level}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-selected={selected}
      {...(children > 0 ? { 'aria-expanded': !collapsed } : {})}
      tabIndex={selected ? 0 : -1}
      className={`tree-item tree-${process.role}`}
      style={{ paddingInlineStart: `calc(10px + var(--indent) * ${Math.min(level - 1, MAX_INDENTS)})` }}
      onClick={select}
      onDoubleClick={onToggle}
    >
      <span className="tree-mark" aria-hidden="true">
        {children === 0 ? '·' : collapsed ? '▸' : '▾'}
      </span>
      <span className="tree-name">
        <Untrusted text={process.executable?.path ?? process.comm} maxChars={52} mono focusable={false} />
        <span className="soft small">
          {' '}
          pid {process.pid}
          {process.user === null ? null : (
            <>
              {' '}
              · <Untrusted text={process.user} maxChars={20} focusable={false} />
            </>
          )}
        </span>
      </span>
      <span className={process.role === 'source' ? 'badge badge-source' : 'badge'}>
        {ROLE_WORDS[process.role]}
      </span>
      <span className="tree-time num">
        {process.activeMs > 0 ? `${formatGpuHours(process.activeMs, 2)} GPU-h` : ''}
      </span>
    </div>
  );
}

/** Where a key leads: a new selection, or a change of what is collapsed. */
function keyStep(
  key: string,
  rows: readonly LineageRow[],
  at: number,
  collapsed: boolean,
): { go: number } | 'toggle' | null {
  const row = rows[at];
  if (!row) return null;
  const parent = rows.slice(0, at).findLastIndex((before) => before.level < row.level);
  if (key === 'ArrowDown') return { go: Math.min(at + 1, rows.length - 1) };
  if (key === 'ArrowUp') return { go: Math.max(at - 1, 0) };
  if (key === 'Home') return { go: 0 };
  if (key === 'End') return { go: rows.length - 1 };
  if (key === 'ArrowRight' && row.children > 0) return collapsed ? 'toggle' : { go: at + 1 };
  if (key === 'ArrowLeft') return row.children > 0 && !collapsed ? 'toggle' : { go: Math.max(parent, 0) };
  if ((key === 'Enter' || key === ' ') && row.children > 0) return 'toggle';
  return null;
}

export function LineageTree({ processes }: { processes: readonly ProcessView[] }) {
  const source = processes.find((process) => process.role === 'source') ?? processes[0];
  const [selectedId, setSelectedId] = useState(source?.id ?? '');
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => lineageRows(processes, collapsed), [processes, collapsed]);
  const tree = useRef<HTMLDivElement>(null);
  const moved = useRef(false);
  const at = Math.max(
    0,
    rows.findIndex((row) => row.process.id === selectedId),
  );
  const selected = rows[at]?.process;
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    tree.current?.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
  });
  const toggle = (id: string) => setCollapsed((before) => toggled(before, id));
  const onKeyDown = (event: KeyboardEvent) => {
    if (!selected) return;
    const step = keyStep(event.key, rows, at, collapsed.has(selected.id));
    if (step === null) return;
    event.preventDefault();
    moved.current = true;
    if (step === 'toggle') toggle(selected.id);
    else setSelectedId(rows[step.go]?.process.id ?? selectedId);
  };
  return (
    <div className="lineage">
      <div
        ref={tree}
        role="tree"
        aria-label="Lineage of the source process"
        className="tree"
        onKeyDown={onKeyDown}
      >
        {rows.map((row) => (
          <Item
            key={row.process.id}
            row={row}
            selected={row.process.id === selected?.id}
            collapsed={collapsed.has(row.process.id)}
            select={() => setSelectedId(row.process.id)}
            toggle={() => toggle(row.process.id)}
          />
        ))}
      </div>
      {selected ? <ProcessDetails process={selected} /> : null}
    </div>
  );
}
