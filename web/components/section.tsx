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
  /** Takes the whole width of a grid of sections. */
  readonly wide?: boolean;
  readonly children: ReactNode;
}

export function Section({ title, aside, hint, padded = true, wide = false, children }: SectionProps) {
  const id = useId();
  return (
    <section className={wide ? 'section story-wide' : 'section'} aria-labelledby={id}>
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
