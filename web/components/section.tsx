/** A titled part of a page. */
import { type ReactNode, useId } from 'react';

interface SectionProps {
  readonly title: string;
  /** Beside the title: controls or a link. */
  readonly aside?: ReactNode;
  /** Under the title, one soft sentence. */
  readonly hint?: ReactNode;
  /** False for content that brings its own edges, such as tables. */
  readonly padded?: boolean;
  readonly children: ReactNode;
}

export function Section({ title, aside, hint, padded = true, children }: SectionProps) {
  const id = useId();
  return (
    <section className="section" aria-labelledby={id}>
      <header className="section-head">
        <div>
          <h2 id={id}>{title}</h2>
          {hint ? <p className="hint">{hint}</p> : null}
        </div>
        {aside ? <div className="section-aside">{aside}</div> : null}
      </header>
      <div className={padded ? 'section-body' : 'section-bare'}>{children}</div>
    </section>
  );
}
