/** A page's heading. Names the browser tab too, and takes the focus when a page opens, so that screen readers hear it. */
import { type ReactNode, useEffect, useRef } from 'react';
import { useLocation, useNavigationType } from 'react-router';

interface PageHeadProps {
  /** Plain text for the tab. */
  readonly title: string;
  /** What is shown instead of the title, where it is more than text. */
  readonly heading?: ReactNode;
  readonly lead?: ReactNode;
  readonly aside?: ReactNode;
}

export function PageHead({ title, heading, lead, aside }: PageHeadProps) {
  const ref = useRef<HTMLHeadingElement>(null);
  const { pathname } = useLocation();
  const navigation = useNavigationType();
  useEffect(() => {
    document.title = `${title} · gpuledger`;
  }, [title]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new page moves the focus, a new query in the same page does not.
  useEffect(() => {
    if (navigation === 'PUSH') ref.current?.focus({ preventScroll: true });
  }, [pathname]);
  return (
    <header className="page-head">
      <div className="page-head-text">
        <h1 ref={ref} tabIndex={-1}>
          {heading ?? title}
        </h1>
        {lead ? <p className="lead">{lead}</p> : null}
      </div>
      {aside ? <div className="page-head-aside">{aside}</div> : null}
    </header>
  );
}
