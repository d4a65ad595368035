/** docs/SIGNALS.md is made from the registry of signals. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MAX_SCORE, SIGNALS } from '../api/domain/signals/registry.ts';
import type { SignalRule } from '../api/domain/signals/signal.ts';

const FILE = new URL('../docs/SIGNALS.md', import.meta.url);

function row({ id, title, weight, attack, source }: SignalRule): string {
  const cells = [`\`${id}\``, title, weight, attack.before.join(', '), attack.after.join(', '), source];
  return `| ${cells.join(' | ')} |`;
}

const generated = (): string =>
  [
    '# Signals',
    '',
    'Made from the code; a test holds it equal (`UPDATE_DOCS=1` writes it anew).',
    '',
    'A signal is a small rule (`api/domain/signals/`, one file each) that looks at a finding and says why it deserves to be looked at',
    'first. Signals **rank**; they never attribute, and never change a verdict or a severity: what makes a finding is that no declaration',
    'covers it, or that it was seen beside the ledger. Detectors of this kind lose much of their accuracy on disguises that they were not',
    'built on; a program can be renamed, but that nobody declared it cannot.',
    '',
    `The score is the sum of the weights, each as strongly as its rule saw it, ${MAX_SCORE} at most. What cannot be disguised`,
    'cheaply weighs most. Names, arguments, words and ports are labels: all of them together weigh less than half of',
    '`own_executable`.',
    '',
    'They are derived from the facts of each node-hour in which a finding was seen, kept with it, and derived again by `gpuledger verify`.',
    "Over several hours each counts once, at its strongest. Rules read redacted command lines where they are kept; what a signal's own",
    'sentence says holds no text that retention may erase.',
    '',
    'Lists sort by `rank`: severity first, then score.',
    '',
    '| signal | what was seen | weight | ATT&CK before v19 | since v19 | known from |',
    '|---|---|---|---|---|---|',
    ...SIGNALS.map(row),
    '',
    'ATT&CK was renumbered with v19 (2026). The fifth column has a technique only where its new number is known to us; an empty one',
    'says nothing about whether the old number still holds.',
    '',
    'Beside these, a finding that is part of a series tells whether it keeps to certain hours of the day (three days or more, all',
    'within ten hours). It adds nothing to a score.',
    '',
  ].join('\n');

test('docs/SIGNALS.md is what the registry says', () => {
  const text = generated();
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(FILE, text);
  expect(readFileSync(FILE, 'utf8')).toBe(text);
});
