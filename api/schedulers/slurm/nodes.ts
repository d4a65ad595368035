/** What Slurm says of its nodes: what they have, and why nothing runs there. */
import type { NodeCondition, SourceProblem } from '../source.ts';
import type { NodeResources } from './declare.ts';
import { countOf } from './gres.ts';
import { splitOutside } from './hostlist.ts';
import { type Complain, isRow, textOf, timeOf, wordsOf } from './values.ts';

type Condition = Pick<NodeCondition, 'condition' | 'reason' | 'fromMs'>;

export interface SlurmNode {
  readonly name: string;
  readonly resources: NodeResources;
  /** null: it takes jobs. */
  readonly condition: Omit<Condition, 'fromMs'> | null;
  /** When its reason was set; null: it does not say. */
  readonly reasonMs: number | null;
}

/** Flags and states of all generations by what they mean; the first that applies counts. */
const MEANINGS: readonly (readonly [NodeCondition['condition'], readonly string[]])[] = [
  ['maintenance', ['MAINT', 'MAINTENANCE', 'REBOOT', 'REBOOT_ISSUED', 'REBOOT_REQUESTED']],
  [
    'down',
    [
      'DOWN',
      'ERROR',
      'FAIL',
      'FAILING',
      'INVAL',
      'INVALID_REG',
      'NOT_RESPONDING',
      'NO_RESPOND',
      'UNKNOWN',
      'FUTURE',
    ].concat(['POWERED_DOWN', 'POWERING_DOWN', 'POWER_DOWN', 'POWERED_UP_FAILED']),
  ],
  ['drained', ['DRAIN', 'DRAINED', 'DRAINING', 'BLOCKED']],
  ['reserved', ['RESERVED', 'RESV']],
];
const MAX_REASON = 300;

/** One row of `scontrol show nodes` or `sinfo`; null with a problem where it has no name. */
export function readNode(row: unknown, problem: (problem: SourceProblem) => void): SlurmNode | null {
  const name = isRow(row) ? textOf(row, 'name', () => undefined) : null;
  if (!isRow(row) || name === null) {
    problem({ subject: 'a node', message: 'is a row without a name: it is skipped' });
    return null;
  }
  const complain: Complain = (field, message) =>
    problem({ subject: `node ${name}`, message: `${field} ${message}` });
  const words = [...wordsOf(row, 'state', complain), ...wordsOf(row, 'state_flags', complain)];
  const meaning = MEANINGS.find(([, states]) => words.some((word) => states.includes(word)));
  const gres = textOf(row, 'gres', complain) ?? '';
  const said = (textOf(row, 'reason', complain) ?? '').replace(/[\p{Cc}\p{Cs}]/gu, '?').trim();
  const states = words.join('+').toLowerCase();
  return {
    name,
    resources: {
      gpus: gresTotal(gres, 'gpu'),
      shards: gresTotal(gres, 'shard'),
      mps: gresTotal(gres, 'mps'),
    },
    condition:
      meaning === undefined
        ? null
        : { condition: meaning[0], reason: (said === '' ? states : said).slice(0, MAX_REASON) },
    reasonMs: timeOf(row, 'reason_changed_at', complain),
  };
}

const MAX_TOTAL = 65_536;

/** `gpu:a100:4(S:0-1),shard:a100:8(S:0)`: of all models together. */
function gresTotal(text: string, kind: string): number {
  let total = 0;
  for (const part of splitOutside(text, '(', ')')) {
    const [, name, count = ''] =
      /^([a-z_]+)(?::(?:[^:()]+|\(null\)))?:(\d{1,6}[KMG]?)(?:\(|$)/.exec(part.trim()) ?? [];
    if (name === kind) total += countOf(count);
  }
  return Math.min(total, MAX_TOTAL);
}

const KINDS = MEANINGS.map(([condition]) => condition);

/**
 * Remembers which nodes take no jobs, and says what has changed. Of a node that is seen for the first time it also says what
 * it is not: whoever followed before may have been ended in between.
 */
export function createConditions(): (nodes: readonly SlurmNode[], nowMs: number) => NodeCondition[] {
  const open = new Map<string, Condition>();
  const known = new Set<string>();
  return (nodes, nowMs) => {
    const changes: NodeCondition[] = [];
    for (const { name, condition, reasonMs } of nodes) {
      if (!known.has(name))
        for (const kind of KINDS)
          if (kind !== condition?.condition)
            changes.push({ node: name, condition: kind, fromMs: nowMs, toMs: nowMs, reason: '' });
      known.add(name);
      const before = open.get(name);
      if (
        condition !== null &&
        before?.condition === condition.condition &&
        before.reason === condition.reason
      )
        continue;
      if (before !== undefined) {
        changes.push({ node: name, ...before, toMs: Math.max(before.fromMs, nowMs) });
        open.delete(name);
      }
      if (condition === null) continue;
      // A reason that was set before the condition began is no sign of when it began, except for the first answer.
      const fromMs = before === undefined ? Math.min(reasonMs ?? nowMs, nowMs) : nowMs;
      open.set(name, { ...condition, fromMs });
      changes.push({ node: name, ...condition, fromMs, toMs: null });
    }
    return changes;
  };
}
