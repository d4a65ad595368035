// All signals, and the score that they make. They rank findings; they never attribute, and never change a severity.
import { afterJobEnd } from './after-job-end.ts';
import { changedTools } from './changed-tools.ts';
import { clockStep } from './clock-step.ts';
import { constantMemory } from './constant-memory.ts';
import { deletedExecutable } from './deleted-executable.ts';
import { externalPeer } from './external-peer.ts';
import { hiddenProcess } from './hidden-process.ts';
import { jobCopy } from './job-copy.ts';
import { masquerade } from './masquerade.ts';
import { memoryExecutable } from './memory-executable.ts';
import { minerArguments } from './miner-arguments.ts';
import { minerName } from './miner-names.ts';
import { minerPort } from './miner-port.ts';
import { miningProtocol } from './mining-protocol.ts';
import { networkScan } from './network-scan.ts';
import { ownExecutable } from './own-executable.ts';
import { powerConflict } from './power-conflict.ts';
import { relayShape } from './relay-shape.ts';
import { reverseTunnel } from './reverse-tunnel.ts';
import { FULL, type Signal, type SignalFacts, type SignalRule } from './signal.ts';
import { silenceInAct } from './silence-in-act.ts';
import { steadyLoad } from './steady-load.ts';
import { temporaryPath } from './temporary-path.ts';
import { undeclared } from './undeclared.ts';

/** The heaviest first. */
export const SIGNALS: readonly SignalRule[] = [
  undeclared,
  externalPeer,
  reverseTunnel,
  ownExecutable,
  hiddenProcess,
  memoryExecutable,
  temporaryPath,
  masquerade,
  relayShape,
  changedTools,
  networkScan,
  jobCopy,
  silenceInAct,
  powerConflict,
  clockStep,
  deletedExecutable,
  afterJobEnd,
  steadyLoad,
  constantMemory,
  minerName,
  minerArguments,
  miningProtocol,
  minerPort,
];

export const MAX_SCORE = 100;
const RULES: ReadonlyMap<string, SignalRule> = new Map(SIGNALS.map((rule) => [rule.id, rule]));

/** Null: this version knows no such signal. */
export const signalRule = (id: string): SignalRule | null => RULES.get(id) ?? null;

export const signalsOf = (facts: SignalFacts): Signal[] =>
  SIGNALS.flatMap((rule) => {
    const sighted = rule.test(facts);
    return sighted === null ? [] : [{ id: rule.id, ...sighted }];
  });

/** 0 to 100: each signal at its greatest strength, once. */
export function scoreOf(signals: Iterable<Pick<Signal, 'id' | 'strength'>>): number {
  const strongest = new Map<string, number>();
  for (const { id, strength } of signals) strongest.set(id, Math.max(strongest.get(id) ?? 0, strength));
  let sum = 0;
  for (const [id, strength] of strongest) sum += (RULES.get(id)?.weight ?? 0) * strength;
  return Math.min(MAX_SCORE, Math.floor(sum / FULL));
}
