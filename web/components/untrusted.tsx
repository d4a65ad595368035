/** Text that a workload may have written: always text, isolated from the direction of what is around it, and bounded. */
import { Tooltip } from '@mantine/core';
import { shorten, visibleText } from '../format.ts';

/** Names this short are kept on one line. */
const SHORT_CHARS = 16;

interface UntrustedProps {
  readonly text: string | null | undefined;
  /** Longer text is cut in the middle and shown whole on hover and focus. */
  readonly maxChars?: number;
  readonly mono?: boolean;
  /** False inside links and buttons, which take the focus themselves. */
  readonly focusable?: boolean;
}

export function Untrusted({ text, maxChars = 60, mono = false, focusable = true }: UntrustedProps) {
  if (text === null || text === undefined || text === '') return <span className="soft">–</span>;
  const whole = visibleText(text);
  const cut = shorten(whole, maxChars);
  const short = whole.length <= SHORT_CHARS ? ' untrusted-short' : '';
  const className = `untrusted${mono ? ' mono' : ''}${short}`;
  if (cut === whole) {
    return (
      <bdi className={className} dir="auto">
        {whole}
      </bdi>
    );
  }
  return (
    <Tooltip
      label={<span className="untrusted-whole">{whole}</span>}
      multiline
      maw={560}
      events={{ hover: true, focus: true, touch: true }}
    >
      {focusable ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to read the whole text too.
        <bdi className={className} dir="auto" tabIndex={0}>
          <span aria-hidden="true">{cut}</span>
          <span className="visually-hidden">{whole}</span>
        </bdi>
      ) : (
        <bdi className={className} dir="auto">
          {cut}
        </bdi>
      )}
    </Tooltip>
  );
}
