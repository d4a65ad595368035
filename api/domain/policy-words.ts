// What differs between two policies, and what of one is wider than it may seem, in words.
import type { ApprovedTunnel, Exemption, ExemptionMatch, Policy } from './policy.ts';

const RULES = ['weakestEvidence', 'endGraceMs', 'selfDeclarationLeadMs'] as const;

/** One line a change; empty where both say the same. */
export function policyChanges(before: Policy, after: Policy): string[] {
  const lines: string[] = [];
  for (const rule of RULES)
    if (before[rule] !== after[rule]) lines.push(`${rule} was ${before[rule]} and becomes ${after[rule]}.`);
  lines.push(...listChanges('Launchers', before.launchers, after.launchers));
  lines.push(...listChanges('Internal networks', before.internalRanges, after.internalRanges));
  lines.push(
    ...listChanges(
      'Approved tunnels',
      before.approvedTunnels.map(describeTunnel),
      after.approvedTunnels.map(describeTunnel),
    ),
  );
  const old = new Map(before.exemptions.map((one) => [one.id, one]));
  for (const one of after.exemptions) lines.push(...exemptionChanges(old.get(one.id), one));
  for (const one of before.exemptions)
    if (!after.exemptions.some((other) => other.id === one.id))
      lines.push(`Exemption ${one.id} of ${one.owner} ends.`);
  return lines;
}

function listChanges(name: string, before: readonly string[], after: readonly string[]): string[] {
  const added = after.filter((one) => !before.includes(one));
  const gone = before.filter((one) => !after.includes(one));
  return [
    ...(added.length > 0 ? [`${name}, new: ${added.join(', ')}.`] : []),
    ...(gone.length > 0 ? [`${name}, no more: ${gone.join(', ')}.`] : []),
  ];
}

function describeTunnel({ peers, executables, uids, reason }: ApprovedTunnel): string {
  const who = [named('executables', executables), named('uid', uids.map(String))].filter(
    (part) => part !== '',
  );
  return `to ${peers.join(' or ')} (${who.length === 0 ? 'any program' : who.join(', ')}; ${reason})`;
}

function exemptionChanges(before: Exemption | undefined, after: Exemption): string[] {
  const { id, owner, account, reason, match } = after;
  const until = `until ${time(after.toMs)}`;
  if (before === undefined)
    return [
      `Exemption ${id} is new: ${describeMatch(match)}; ${owner} answers for it, account ${account}, ${until}: ${reason}`,
    ];
  const lines: string[] = [];
  if (describeMatch(before.match) !== describeMatch(match))
    lines.push(`Exemption ${id} covered ${describeMatch(before.match)}, and now: ${describeMatch(match)}.`);
  if (before.owner !== owner)
    lines.push(`Exemption ${id}: ${owner} answers for it instead of ${before.owner}.`);
  if (before.reason !== reason) lines.push(`Exemption ${id} has another reason: ${reason}`);
  if (before.toMs !== after.toMs)
    lines.push(`Exemption ${id} lasts ${until} instead of ${time(before.toMs)}.`);
  return lines;
}

/** Such as "executables /usr/bin/nvvs, in systemd:/system.slice/nvidia-dcgm.service, uid 0". */
function describeMatch(match: ExemptionMatch): string {
  const parts = [
    named('executables', match.executables),
    named('in', match.boundaries),
    named('uid', match.uids.map(String)),
    named('type', match.types),
    named('on', match.nodes),
    named(
      'from',
      match.windows.map((one) => `${time(one.fromMs)} to ${time(one.toMs)}`),
    ),
    named(
      'daily from',
      match.daily.map((one) => `${ofDay(one.fromMs)} to ${ofDay(one.toMs)} UTC`),
    ),
  ];
  return parts.filter((part) => part !== '').join(', ');
}

const named = (name: string, items: readonly string[]): string =>
  items.length === 0 ? '' : `${name} ${items.join(' or ')}`;

const time = (ms: number): string => new Date(ms).toISOString();
const ofDay = (ms: number): string => new Date(ms).toISOString().slice(11, 16);

/** What is accepted and covers more than one may think. */
export function policyWarnings({ exemptions, weakestEvidence }: Policy): string[] {
  const lines: string[] = [];
  if (weakestEvidence === 'claim')
    lines.push(
      'weakestEvidence claim: whoever sets an environment variable is covered by the job that it names.',
    );
  for (const { id, match } of exemptions) {
    const { boundaries, uids, executables, types } = match;
    if (boundaries.length > 0 && uids.length === 0 && executables.length === 0)
      lines.push(`Exemption ${id}: everything that any account runs in its units is covered.`);
    if (boundaries.length === 0 && executables.length > 0 && uids.some((uid) => uid !== 0))
      lines.push(
        `Exemption ${id}: its accounts can make a file look like another path; nothing else holds them.`,
      );
    if (boundaries.length === 0 && uids.length === 0 && types.length > 0)
      lines.push(`Exemption ${id}: every account's graphics contexts are covered, and graphics can compute.`);
  }
  return lines;
}
