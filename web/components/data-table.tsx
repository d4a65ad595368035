/** A table with a caption, sortable heads, fixed-height placeholders while it loads, and cards on narrow screens. */
import { Button, Skeleton } from '@mantine/core';
import type { ReactNode } from 'react';

export interface Column<Row> {
  readonly key: string;
  readonly head: string;
  readonly cell: (row: Row) => ReactNode;
  readonly numeric?: boolean;
  /** The API's name of this order; heads without one do not sort. */
  readonly sort?: string;
  /** What the column means, on hover. */
  readonly hint?: string;
}

export interface Sorting {
  readonly by: string;
  readonly order: 'asc' | 'desc';
  readonly change: (by: string, order: 'asc' | 'desc') => void;
}

interface DataTableProps<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  /** Undefined while the first answer is awaited. */
  readonly rows: readonly Row[] | undefined;
  readonly rowKey: (row: Row) => string;
  readonly rowClass?: (row: Row) => string;
  readonly sorting?: Sorting;
  readonly empty: ReactNode;
  readonly foot?: ReactNode;
  /** How many placeholder rows keep the place while loading. */
  readonly placeholders?: number;
}

function Head<Row>({ column, sorting }: { column: Column<Row>; sorting: Sorting | undefined }) {
  const className = column.numeric ? 'num' : undefined;
  if (!sorting || column.sort === undefined) {
    return (
      <th scope="col" className={className} title={column.hint}>
        {column.head}
      </th>
    );
  }
  const by = column.sort;
  const active = sorting.by === by;
  const ordered = active ? (sorting.order === 'asc' ? 'ascending' : 'descending') : 'none';
  const next = active && sorting.order === 'desc' ? 'asc' : 'desc';
  return (
    <th scope="col" className={className} aria-sort={ordered} title={column.hint}>
      <button type="button" className="sort" onClick={() => sorting.change(by, next)}>
        {column.head}
        <span aria-hidden="true" className="sort-mark">
          {active ? (sorting.order === 'asc' ? '▲' : '▼') : '↕'}
        </span>
      </button>
    </th>
  );
}

function Placeholders({ columns, count }: { columns: number; count: number }) {
  return Array.from({ length: count }, (_, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no other identity.
    <tr key={row}>
      <td colSpan={columns}>
        <Skeleton height={38} />
      </td>
    </tr>
  ));
}

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { caption, columns, rows, rowKey, rowClass, sorting, empty, foot, placeholders = 6 } = props;
  if (rows && rows.length === 0) return empty;
  return (
    <div className="table-scroll">
      <table className="table" aria-busy={rows === undefined}>
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.key} column={column} sorting={sorting} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows === undefined ? <Placeholders columns={columns.length} count={placeholders} /> : null}
          {rows?.map((row) => (
            <tr key={rowKey(row)} className={rowClass?.(row)}>
              {columns.map((column) => (
                <td key={column.key} className={column.numeric ? 'num' : undefined} data-head={column.head}>
                  <div className="cell">{column.cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        {foot}
      </table>
    </div>
  );
}

interface LoadMoreProps {
  readonly shown: number;
  readonly more: boolean;
  readonly loading: boolean;
  readonly load: () => void;
}

/** Under a list that goes on: how many are shown, and a button for the next page. */
export function LoadMore({ shown, more, loading, load }: LoadMoreProps) {
  return (
    <div className="load-more">
      <span className="soft" aria-live="polite">
        {more ? `${shown} shown` : `All ${shown} shown`}
      </span>
      {more ? (
        <Button variant="default" size="xs" loading={loading} onClick={load}>
          Load more
        </Button>
      ) : null}
    </div>
  );
}
