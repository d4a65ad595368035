/** How a command says what a person can put right. */
import { bytesToText } from '../text.ts';

/** Exit code of a wrong setting. */
export const EXIT_USAGE = 2;

/** Ends a command because of what a person can put right: each line of the message on standard error, without a stack. */
export function complain(message: string): void {
  const inert = bytesToText(Buffer.from(message.replaceAll('\n', '\n  ')), 8000).text;
  process.stderr.write(`gpuledger-agent: ${inert.replaceAll('\\x0a', '\n')}\n`);
}
