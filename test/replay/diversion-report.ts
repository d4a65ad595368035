/** The report of the benchmark: per family, beside the baselines, as data and as a page. */
import { BASELINES, type BaselineName } from './baselines.ts';
import type { Benched } from './diversion-score.ts';
import { GOALS } from './goals.ts';

interface FamilyBaseline {
  readonly recall: number | null;
  readonly precision: number | null;
  readonly chargedMs: number;
}

interface Family {
  readonly family: string;
  readonly scenarios: number;
  readonly conserved: number;
  readonly met: number;
  readonly divertedMs: number;
  /** null: nothing to find; or nothing said. */
  readonly recall: number | null;
  readonly precision: number | null;
  /** The worst of the family. */
  readonly amountError: number | null;
  readonly onsetErrorMs: number | null;
  readonly visibleAfterMs: number | null;
  readonly wronglyUsedMs: number;
  readonly falseAlarms: number;
  /** Of scenarios in which something was diverted: in how many the true amount lies between the bounds that findings state. */
  readonly withinBounds: number;
  readonly withDiversion: number;
  /** Mistakes of the confusion matrix, weighted, in GPU-milliseconds. */
  readonly mistakesMs: number;
  readonly baselines: Readonly<Record<BaselineName, FamilyBaseline>>;
}

/** Where in one family time went that was somebody else's, the largest first. */
interface FamilyConfusion {
  readonly family: string;
  readonly truth: string;
  readonly ledger: string;
  readonly ms: number;
}

export interface Report {
  /** Books that do not balance in one scenario are nothing in all. */
  readonly conserved: boolean;
  /** Of all families: whose computing went where, summed by kind of consumer. */
  readonly confusion: readonly FamilyConfusion[];
  readonly hostile: readonly {
    readonly id: string;
    readonly title: string;
    readonly passed: boolean;
    readonly lengthMs: number;
    readonly cpuMs: number;
    readonly maxRssBytes: number;
  }[];
  readonly goals: typeof GOALS;
  readonly families: readonly Family[];
  readonly scenarios: readonly {
    readonly id: string;
    readonly title: string;
    readonly family: string;
    readonly score: Benched['score'];
    readonly baselines: Benched['baselines'];
    readonly misses: readonly string[];
  }[];
}

const ALL = 'all';
const HOSTILE = 'hostile input';

/** What a consumer is, whatever the job is called. */
const kindOf = (name: string): string =>
  name.startsWith('(') ? name : name.endsWith(MARKED) ? 'a job (marked)' : 'a job';
const MARKED = ' (marked)';

/** Rows of the scenarios' matrices by kind; one job's time at another one is told apart from its own. */
function confusionIn(family: string, own: readonly Benched[]): FamilyConfusion[] {
  const sums = new Map<string, FamilyConfusion>();
  for (const { truth, ledger, ms } of own.flatMap(({ score }) => score.confusion)) {
    const other = truth !== ledger && ledger !== `${truth}${MARKED}` && kindOf(ledger).startsWith('a job');
    const to = other && kindOf(truth) === 'a job' ? 'another job' : kindOf(ledger);
    const key = `${kindOf(truth)}\n${to}`;
    sums.set(key, {
      family,
      truth: kindOf(truth),
      ledger: to,
      ms: Math.round(ms + (sums.get(key)?.ms ?? 0)),
    });
  }
  return [...sums.values()].filter(({ ms }) => ms >= 500).sort((a, b) => b.ms - a.ms);
}

export function reportOf(benched: readonly Benched[]): Report {
  const families = new Map<string, Benched[]>();
  for (const one of benched) {
    const own = families.get(one.score.family) ?? [];
    own.push(one);
    families.set(one.score.family, own);
  }
  return {
    goals: GOALS,
    conserved: benched.every(({ score }) => score.conserved),
    confusion: [...families].flatMap(([family, own]) => confusionIn(family, own)),
    hostile: (families.get(HOSTILE) ?? []).map(({ score, title, misses, lengthMs, cpuMs, maxRssBytes }) => ({
      ...{ id: score.id, title, passed: misses.length === 0, lengthMs, cpuMs, maxRssBytes },
    })),
    families: [...[...families].map(([name, own]) => familyOf(name, own)), familyOf(ALL, benched)],
    scenarios: benched.map(({ score, title, baselines, misses }) => ({
      ...{ id: score.id, title, family: score.family, score, baselines, misses },
    })),
  };
}

function familyOf(family: string, own: readonly Benched[]): Family {
  const sum = (of: (one: Benched) => number): number => own.reduce((total, one) => total + of(one), 0);
  const worst = (of: (one: Benched) => number | null): number | null =>
    own.reduce<number | null>((most, one) => {
      const value = of(one);
      return value === null ? most : Math.max(most ?? 0, value);
    }, null);
  const divertedMs = sum(({ score }) => score.divertedMs);
  const share = (part: number, whole: number): number | null =>
    whole === 0 ? null : Math.min(1, part / whole);
  const baseline = (name: BaselineName): FamilyBaseline => {
    const claimedMs = sum(({ baselines }) => baselines[name].claimedMs);
    const rightMs = sum(({ baselines }) => baselines[name].rightMs);
    return {
      recall: share(rightMs, divertedMs),
      precision: share(rightMs, claimedMs),
      chargedMs: Math.round(sum(({ baselines }) => baselines[name].chargedMs)),
    };
  };
  return {
    ...{ family, scenarios: own.length, divertedMs: Math.round(divertedMs) },
    conserved: own.filter(({ score }) => score.conserved).length,
    met: own.filter(({ misses }) => misses.length === 0).length,
    recall: share(
      sum(({ score }) => score.foundMs),
      divertedMs,
    ),
    precision: share(
      sum(({ score }) => score.claimedMs * score.precision),
      sum(({ score }) => score.claimedMs),
    ),
    amountError: worst(({ score }) => score.amountError),
    onsetErrorMs: worst(({ score }) => score.onsetErrorMs),
    visibleAfterMs: worst(({ score }) => score.visibleAfterMs),
    wronglyUsedMs: Math.round(sum(({ score }) => score.wronglyUsedMs)),
    falseAlarms: sum(({ score }) => score.falseAlarms.length),
    withinBounds: own.filter(({ score }) => score.divertedMs > 0 && score.withinBounds).length,
    withDiversion: own.filter(({ score }) => score.divertedMs > 0).length,
    mistakesMs: Math.round(sum(({ score }) => score.mistakesMs)),
    baselines: {
      ...{ A1: baseline('A1'), A2: baseline('A2'), A3: baseline('A3'), A4: baseline('A4') },
      ...{ A5: baseline('A5'), A6: baseline('A6'), A7: baseline('A7') },
    },
  };
}

const percent = (share: number | null): string => (share === null ? '–' : `${(share * 100).toFixed(1)} %`);
const seconds = (ms: number | null): string => (ms === null ? '–' : `${(ms / 1000).toFixed(1)} s`);
const hours = (ms: number): string => (ms / 1000).toFixed(0);

/** Names of baselines, in order. */
const BASELINE_NAMES = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7'] as const;

function confusionLines(confusion: Report['confusion']): string[] {
  return [
    '## Whose computing went where',
    '',
    'In GPU-seconds, of every device and hour. What is put at another job counts three times among mistakes, since somebody',
    'innocent pays; what was not measured is none. "(marked)" is a job\'s time of a named process that is not as the job said.',
    '',
    '| family | computed for | the ledger says | GPU-s |',
    '|---|---|---|---:|',
    ...confusion.map(
      ({ family, truth, ledger, ms }) => `| ${family} | ${truth} | ${ledger} | ${hours(ms)} |`,
    ),
    '',
  ];
}

function hostileLines(hostile: Report['hostile']): string[] {
  return [
    '## Hostile input, and what it costs',
    '',
    'Played to the end, with books that balance and every goal met. CPU and memory are of agent, service and simulator in one',
    'process, and so more than the agent alone; `npm run bench:agent` measures that.',
    '',
    '| scenario | result | CPU for an hour | memory, most |',
    '|---|---|---:|---:|',
    ...hostile.map(
      ({ id, title, passed, lengthMs, cpuMs, maxRssBytes }) =>
        `| ${id} ${title} | ${passed ? 'pass' : 'FAIL'} | ${((cpuMs / lengthMs) * 3600).toFixed(1)} s | ` +
        `${(maxRssBytes / 2 ** 20).toFixed(0)} MiB |`,
    ),
    '',
  ];
}

export function pageOf({ families, scenarios, conserved, confusion, hostile }: Report): string {
  const missed = scenarios.filter(({ misses }) => misses.length > 0);
  return [
    '# Diversion benchmark: results',
    '',
    'Made by `npm run bench:diversion -- --write`; `docs/diversion.json` has every number.',
    '[SCENARIOS.md](SCENARIOS.md) says what is measured and how.',
    'The scenarios are synthetic: they show mechanisms, not how often something happens.',
    '',
    conserved
      ? 'Books balance in every scenario; in one where they did not, nothing else would count.'
      : '**Books do not balance in every scenario: the result as a whole is 0.**',
    '',
    '## By family',
    '',
    '"Worst" columns are those of the worst scenario of a family. GPU-seconds are weighted by the share of the device.',
    '',
    '| family | scenarios | books balance | goals met | diverted, GPU-s | recall | precision | amount, worst | ' +
      'within stated bounds | onset, worst | visible after, worst | charged wrongly, GPU-s | weighted mistakes, GPU-s | false alarms |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...families.map(
      (one) =>
        `| ${one.family} | ${one.scenarios} | ${one.conserved} | ${one.met} | ${hours(one.divertedMs)} | ` +
        `${percent(one.recall)} | ${percent(one.precision)} | ${percent(one.amountError)} | ` +
        `${one.withDiversion === 0 ? '–' : `${one.withinBounds} of ${one.withDiversion}`} | ` +
        `${seconds(one.onsetErrorMs)} | ${seconds(one.visibleAfterMs)} | ${hours(one.wronglyUsedMs)} | ` +
        `${hours(one.mistakesMs)} | ${one.falseAlarms} |`,
    ),
    '',
    '## Beside the naive ways',
    '',
    ...BASELINE_NAMES.map((name) => `- **${name}**: ${BASELINES[name]}`),
    '',
    'Each gets the same devices and processes at every poll at which an agent runs, and all declarations as they stand at the end.',
    'A cell is recall / precision; in brackets the diverted GPU-seconds that were charged to a job.',
    '',
    `| family | gpuledger | ${BASELINE_NAMES.join(' | ')} |`,
    `|---|---|${BASELINE_NAMES.map(() => '---|').join('')}`,
    ...families
      .filter(({ divertedMs, falseAlarms }) => divertedMs > 0 || falseAlarms > 0)
      .map((one) => {
        const cells = BASELINE_NAMES.map((name) => {
          const { recall, precision, chargedMs } = one.baselines[name];
          return `${percent(recall)} / ${percent(precision)} (${hours(chargedMs)})`;
        });
        const own = `${percent(one.recall)} / ${percent(one.precision)} (${hours(one.wronglyUsedMs)})`;
        return `| ${one.family} | ${own} | ${cells.join(' | ')} |`;
      }),
    '',
    'Where nothing was diverted, all that a way claims is a false accusation, in GPU-seconds:',
    '',
    `| scenario | gpuledger | ${BASELINE_NAMES.join(' | ')} |`,
    `|---|---:|${BASELINE_NAMES.map(() => '---:|').join('')}`,
    ...scenarios
      .filter(({ score }) => score.divertedMs === 0)
      .map(
        ({ id, title, score, baselines }) =>
          `| ${id} ${title} | ${hours(score.claimedMs)} | ${BASELINE_NAMES.map((name) => hours(baselines[name].claimedMs)).join(' | ')} |`,
      ),
    '',
    ...confusionLines(confusion),
    ...hostileLines(hostile),
    '## Every scenario',
    '',
    '| scenario | recall | precision | amount | onset | visible after | goals |',
    '|---|---:|---:|---:|---:|---:|---|',
    ...scenarios.map(({ id, title, score, misses }) => {
      const found = score.divertedMs === 0 ? null : score.recall;
      const right = score.divertedMs === 0 ? null : score.precision;
      return (
        `| ${id} ${title} | ${percent(found)} | ${percent(right)} | ${percent(score.amountError)} | ` +
        `${seconds(score.onsetErrorMs)} | ${seconds(score.visibleAfterMs)} | ${misses.length === 0 ? 'met' : 'missed'} |`
      );
    }),
    '',
    ...(missed.length === 0
      ? ['All goals are met.']
      : ['Missed:', '', ...missed.map(({ id, misses }) => `- ${id}: ${misses.map(inline).join('; ')}`)]),
    '',
  ].join('\n');
}

const inline = (text: string): string => `\`${text.replaceAll(/[`\r\n]/g, ' ')}\``;

/** The few lines that README.md quotes. */
export function summaryOf({ families }: Report): string {
  const cell = ({ recall, precision, chargedMs }: FamilyBaseline): string =>
    `${percent(recall)} / ${percent(precision)}, ${hours(chargedMs)} s`;
  return [
    '| scenarios | goals met | gpuledger | allocation (A1) | control group (A5) | names (A6) |',
    '|---|---|---|---|---|---|',
    ...families
      .filter(({ divertedMs, family }) => divertedMs > 0 && (family === ALL || QUOTED.includes(family)))
      .map(({ family, met, scenarios, recall, precision, wronglyUsedMs, baselines }) => {
        const own = cell({ recall, precision, chargedMs: wronglyUsedMs });
        return (
          `| ${family} | ${met} of ${scenarios} | ${own} | ${cell(baselines.A1)} | ${cell(baselines.A5)} | ` +
          `${cell(baselines.A6)} |`
        );
      }),
  ].join('\n');
}

const QUOTED = ['inside a job', 'no job', 'after the end', 'hidden'];
