/** A finding as text: what its page tells, in the page's order. */
import type { Finding, FindingDetail } from '../contract/findings.ts';
import { FINDING_REASONS, SENTENCES } from '../domain/wording.ts';
import { hours, shortTime, visible } from './output.ts';

const LINE_CHARS = 78;
const CANDIDATES_SHOWN = 5;
const EXAMPLES_SHOWN = 3;
const MEMBERS_SHOWN = 10;
const BAR_CHARS = 60;
/** Shares of a step, from nothing to all of it. */
const LEVELS = [...' ▁▂▃▄▅▆▇█'];
const NOT_MEASURED = '·';

export const valueText = (finding: Finding): string | null =>
  finding.value === null ? null : `${finding.value.amount} ${finding.value.currency}`;
export const sourceName = ({ source, devices }: Finding): string =>
  source.executable ||
  source.comm ||
  (source.pid === null ? '' : `pid ${source.pid}`) ||
  devices.map((device) => device.uuid).join(' ') ||
  'the node itself';

/** Broken between words; a word that is longer than a line stays whole, so that it can be copied. */
export function wrap(text: string, first: string, rest: string): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of visible(text).split(' ')) {
    if (!empty && line.length + 1 + word.length > LINE_CHARS) {
      lines.push(line);
      line = rest;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

const section = (title: string, lines: readonly string[]): string[] => ['', title, ...lines];
const bullets = (sentences: readonly string[], none: string): string[] =>
  sentences.length === 0 ? [`  ${none}`] : sentences.flatMap((one) => wrap(one, '  - ', '    '));

function headline(finding: FindingDetail): string {
  const { source, insideJob, node, state, kind } = finding;
  const opening =
    finding.resolvedAt !== null
      ? 'No longer standing: '
      : finding.reason === 'unlike_declared'
        ? 'Not as its job said: '
        : kind === 'compute'
          ? `No declaration covers ${state === 'settled' ? '' : 'yet '}`
          : 'Seen beside the ledger: ';
  const account = source.user === null ? '' : `, which ran as OS account ${source.user}`;
  const job =
    insideJob === null
      ? ''
      : ` inside job ${insideJob.source}/${insideJob.externalId} of account ${insideJob.account}`;
  return `${opening}${sourceName(finding)}${account}${job} on ${node}.`;
}

function keyFacts(finding: FindingDetail): string[] {
  const running = finding.running ? ', still running' : '';
  const settled =
    finding.resolvedAt !== null
      ? 'no longer standing'
      : finding.state === 'settled'
        ? 'settled'
        : 'awaiting record';
  const meaning = FINDING_REASONS.find((one) => one === finding.reason);
  return [
    `  ${finding.id}  ${finding.severity}, ${settled}${running}, group in ${finding.mode} mode`,
    ...(finding.kind === 'compute'
      ? [
          `  active    ${hours(finding.activeMs)} GPU-hours, value ${valueText(finding) ?? 'unknown (no rate is set)'}`,
          `  bounds    at least ${hours(finding.leastMs)}, at most ${hours(finding.mostMs)} GPU-hours executed`,
          `  resident  ${hours(finding.residentMs)} GPU-hours`,
        ]
      : ['  GPU time  none']),
    ...wrap(
      `${finding.reasons.join(', ')}${meaning === undefined ? '' : `: ${SENTENCES[meaning]}`}`,
      '  reason    ',
      '            ',
    ),
    `  evidence  ${finding.evidence ?? 'nothing ties it to a job'}; ${finding.strength}`,
    `  signals   ${finding.score} of 100, which ranks it and is no verdict`,
    `  seen      ${shortTime(finding.firstSeen)} to ${shortTime(finding.lastSeen)}`,
    `  devices   ${visible(finding.devices.map((one) => one.index ?? one.uuid).join(', ')) || 'none'}`,
  ];
}

/** The source's share of each device over time, oldest at the left. */
function bar({ series, index, device, from, stepMs }: FindingDetail['timelines'][number]): string[] {
  const msOf = (kind: string, at: number): number => series.find((one) => one.kind === kind)?.ms[at] ?? 0;
  const points = Math.max(0, ...series.map((one) => one.ms.length));
  const perChar = Math.max(1, Math.ceil(points / BAR_CHARS));
  let text = '';
  for (let start = 0; start < points; start += perChar) {
    let [source, all, unobserved] = [0, 0, 0];
    for (let at = start; at < Math.min(points, start + perChar); at += 1) {
      source += msOf('source', at);
      unobserved += msOf('unobserved', at);
      for (const one of series) all += one.ms[at] ?? 0;
    }
    const level = all === 0 ? 0 : Math.ceil((source / all) * (LEVELS.length - 1));
    text += level === 0 && unobserved * 2 > all ? NOT_MEASURED : (LEVELS[level] ?? ' ');
  }
  const name = visible(index === null ? device : `device ${index}`);
  return [`  ${name.padEnd(10)} |${text}|  from ${shortTime(from)}, ${(perChar * stepMs) / 60_000} min each`];
}

/** File systems that leave nothing on a disk. */
const MEMORY = new Map([
  ['memfd', ', runs from memory (memfd)'],
  ['tmpfs', ', on a file system in memory'],
  ['ramfs', ', on a file system in memory'],
]);

/** The lineage as an indented tree; processes whose parent is not known stand at the left. */
function tree(finding: FindingDetail): string[] {
  const shown = finding.processes.filter(({ role }) => role === 'source' || role === 'ancestor');
  const ids = new Set(shown.map((process) => process.id));
  const children = Map.groupBy(shown, ({ parentId }) =>
    parentId !== null && ids.has(parentId) ? parentId : null,
  );
  const lines: string[] = [];
  const walk = (parent: string | null, depth: number): void => {
    for (const process of children.get(parent) ?? []) {
      const program = process.executable?.path ?? `[${process.comm}]`;
      const gone = process.executable?.deleted ? ', file deleted' : '';
      const from = MEMORY.get(process.executable?.fileSystem ?? '') ?? '';
      const account = process.user ?? (process.uid === null ? 'unknown account' : `uid ${process.uid}`);
      const indent = '  '.repeat(depth + 1);
      lines.push(
        `${indent}${process.role === 'source' ? '→ ' : ''}${process.pid} ${visible(program)} (${visible(account)}${gone}${from})`,
      );
      if (process.role === 'source' && process.commandLine !== null)
        lines.push(...wrap(process.commandLine, `${indent}    `, `${indent}    `));
      walk(process.id, depth + 1);
    }
  };
  walk(null, 0);
  return lines.length === 0
    ? [
        `  ${finding.kind === 'compute' ? 'No process was seen: the device worked and none showed itself.' : 'It is about no process.'}`,
      ]
    : lines;
}

function connections(finding: FindingDetail): string[] {
  return finding.connections.map((one) => {
    const peers = one.examples.slice(0, EXAMPLES_SHOWN).join(', ') || 'addresses erased or unreadable';
    const more = one.peers > EXAMPLES_SHOWN ? ` and ${one.peers - EXAMPLES_SHOWN} more` : '';
    const who = `${one.comm ?? '?'} (${one.pid ?? '?'})`;
    const seen = `${shortTime(one.first)} to ${shortTime(one.last)}`;
    return `${who} ${one.kind}, ${one.peerClass}: ${peers}${more}; ${seen}`;
  });
}

function dials(finding: FindingDetail): string[] {
  return finding.dials.map((one) => {
    const where = one.ofHost === false ? 'In its network namespace' : 'On the whole machine, by whomever,';
    const seen = `${shortTime(one.from)} to ${shortTime(one.to)}`;
    return `${where} ${one.attempts} connections were tried and ${one.failed} failed, at most ${one.mostAMinute} a minute; ${seen}`;
  });
}

function signals(finding: FindingDetail): string[] {
  return finding.signals.map(({ title, detail, weight, strength, source, attack }) => {
    const points = Math.floor((weight * strength) / 100);
    const since = attack.after.length === 0 ? '' : `, since v19 ${attack.after.join(', ')}`;
    const ids = attack.before.length === 0 ? '' : ` ATT&CK ${attack.before.join(', ')}${since}.`;
    return `${title} (${points}). ${detail}${ids} Known from: ${source}`;
  });
}

function seriesLines({ id, series }: FindingDetail): string[] {
  if (series === null) return [];
  const nodes = series.nodes.length === 1 ? 'one node' : `${series.nodes.length} nodes`;
  const worth = series.value === null ? '' : `, worth ${series.value.amount} ${series.value.currency}`;
  const rest = series.findings.length - MEMBERS_SHOWN;
  return section('One story with other findings', [
    ...wrap(
      `Seen on ${nodes} since ${shortTime(series.firstSeen)}, ${hours(series.activeMs)} GPU-hours in all${worth}. ` +
        `They agree in: ${series.why.join('; ')}. ${series.rhythm ?? ''}`.trim(),
      '  ',
      '  ',
    ),
    ...series.findings
      .slice(0, MEMBERS_SHOWN)
      .flatMap((one) =>
        wrap(
          `${one.id}${one.id === id ? ' (this one)' : ''} ${one.node}, ${one.executable ?? '?'}, ` +
            `${shortTime(one.firstSeen)} to ${shortTime(one.lastSeen)}, ${hours(one.activeMs)} GPU-hours`,
          '  - ',
          '    ',
        ),
      ),
    ...(rest > 0 ? [`  and ${rest} more (--json lists them)`] : []),
  ]);
}

/** All lines of the finding, ready to print: text of workloads in them is visible and inert. */
export function findingLines(finding: FindingDetail): string[] {
  const { story, cost } = finding;
  const compute = finding.kind === 'compute';
  const candidates = story.candidates.map(
    ({ job, why }) => `${job.source}/${job.externalId} (account ${job.account}): ${why}`,
  );
  const rest = candidates.length - CANDIDATES_SHOWN;
  const charged = cost.charged.map(({ account, job, ms, amount }) => {
    const money = amount === null ? '' : `, ${amount.amount} ${amount.currency}`;
    return `${account}, job ${job.source}/${job.externalId}: ${hours(ms)} GPU-hours${money}`;
  });
  return [
    ...wrap(headline(finding), '', ''),
    '',
    ...keyFacts(finding),
    ...(finding.timelines.length === 0
      ? []
      : section("Share of this source in each device's time", finding.timelines.flatMap(bar))),
    ...section('Processes', tree(finding)),
    ...(finding.connections.length + finding.dials.length === 0
      ? []
      : section('Connections', bullets([...connections(finding), ...dials(finding)], ''))),
    ...(finding.signals.length === 0 ? [] : section('Signals', bullets(signals(finding), ''))),
    ...seriesLines(finding),
    ...section('What was observed', bullets(story.observed, 'Nothing beyond the figures above.')),
    ...section('What was not observed', bullets(story.notObserved, 'Nothing that matters here is missing.')),
    ...(compute
      ? section('Why each candidate job does not cover it', [
          ...bullets(
            candidates.slice(0, CANDIDATES_SHOWN),
            'No declared job comes near it in time and place.',
          ),
          ...(rest > 0 ? [`  and ${rest} more that ran near it (--json lists them)`] : []),
        ])
      : []),
    ...section('Innocent causes', bullets(story.innocentCauses, 'None is known for this pattern.')),
    ...section(
      'What would change the verdict',
      bullets(story.wouldChange, 'Nothing that can still be recorded.'),
    ),
    ...(compute
      ? section('Already charged for this time', [
          ...bullets(charged, 'Nobody: no job held these devices at the time.'),
          '  The value above is part of it, and is added to no statement.',
        ])
      : []),
    ...(finding.history.length === 0
      ? []
      : section(
          'History',
          bullets(
            finding.history.map(({ at, text }) => `${shortTime(at)} ${text}`),
            '',
          ),
        )),
  ];
}
