/** A chart with its numbers as a table behind a button, so that nobody depends on seeing the picture. */
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  LinearScale,
  Tooltip,
} from 'chart.js';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import type { TableData } from '../charts/parts.ts';

Chart.register(BarController, BarElement, CategoryScale, LinearScale, Tooltip);

interface CanvasProps {
  readonly config: ChartConfiguration<'bar'>;
  readonly label: string;
}

/** Draws a configuration, and redraws in place when it changes: no flicker, no jump. */
function Canvas({ config, label }: CanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const chart = useRef<Chart<'bar'>>(null);
  useEffect(() => {
    if (chart.current) {
      chart.current.data = config.data;
      if (config.options) chart.current.options = config.options;
      chart.current.update('none');
    } else if (canvas.current) {
      chart.current = new Chart(canvas.current, config);
    }
  }, [config]);
  useEffect(
    () => () => {
      chart.current?.destroy();
      chart.current = null;
    },
    [],
  );
  return <canvas ref={canvas} role="img" aria-label={label} />;
}

function Numbers({ table, caption }: { table: TableData; caption: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <section className="figure-table" tabIndex={0} aria-label={caption}>
      <table className="table table-dense">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {table.columns.map((column, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns of one figure keep their places.
              <th key={index} scope="col" className={index > 0 ? 'num' : undefined}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map(([head, ...cells], row) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: steps of one figure keep their places.
            <tr key={row}>
              <th scope="row">{head}</th>
              {cells.map((cell, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: see above.
                <td key={index} className="num">
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface FigureProps {
  readonly label: string;
  readonly config: ChartConfiguration<'bar'>;
  readonly table: TableData;
  readonly heightPx: number;
  readonly legend: ReactNode;
}

export function Figure({ label, config, table, heightPx, legend }: FigureProps) {
  const [asTable, setAsTable] = useState(false);
  return (
    <figure className="figure">
      <div style={{ height: heightPx }} className="figure-frame">
        {asTable ? <Numbers table={table} caption={label} /> : <Canvas config={config} label={label} />}
      </div>
      <figcaption className="figure-foot">
        {legend}
        <button type="button" className="text-button" onClick={() => setAsTable(!asTable)}>
          {asTable ? 'Show as chart' : 'Show as table'}
        </button>
      </figcaption>
    </figure>
  );
}
