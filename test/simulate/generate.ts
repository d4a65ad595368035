/** From a seed to a scenario: a pure function, so that a seed says everything. */
import { build, ScenarioError } from '../replay/build.ts';
import { Scenario } from '../replay/format.ts';
import { createRandom, type Random } from '../simulator/random.ts';
import { DECLARED_PLOTS } from './plots-declared.ts';
import { DIVERTED_PLOTS } from './plots-diverted.ts';
import { addBystanders, SPECIAL_PLOTS } from './plots-special.ts';
import { createSite, type Document, type Fault, LOADS, type Site } from './site.ts';

/** Beginnings: an hour, a day and a month change in the middle of what is played. */
const STARTS = ['2026-10-05T08:00:00Z', '2026-10-05T08:48:20Z', '2026-10-31T23:50:00.500Z'] as const;
const PLOTS = [...DECLARED_PLOTS, ...DIVERTED_PLOTS, ...SPECIAL_PLOTS];
/** Reasons that the plots lead to, where everything is known in the end. */
const REASONS = [
  ...['unverified_claim', 'unknown_job', 'wrong_user', 'before_start', 'after_end'],
  ...['outside_allocation', 'foreign_in_job', 'no_job'],
];

/** Longer than any record is late. */
const AFTER = 330;

/** Some nodes, plots on their GPUs, and what goes wrong with watching them. */
export function generate(seed: number): Document {
  const random = createRandom(seed);
  const poll = random.pick([5, 10, 15]);
  const length = poll * random.integer(60, 110);
  const document: Document = {
    ...{ id: `seed-${seed}`, title: `Made up from seed ${seed}`, family: 'made up' },
    ...{ start: random.pick(STARTS), length, poll, after: AFTER, loads: { ...LOADS } },
    nodes: Object.fromEntries(
      Array.from({ length: random.integer(1, 3) }, (_, index) => [`n${index + 1}`, nodeOf(random)]),
    ),
    feeds: feedsOf(random, length),
    expect: { reasons: REASONS },
  };
  const site = createSite(random, document, length, poll);
  for (let plots = random.integer(2, 6); plots > 0; plots -= 1) random.pick(PLOTS)(site);
  if (random.chance(0.5)) addBystanders(site);
  addFaults(site);
  return used(document);
}

function nodeOf(random: Random): NonNullable<Document['nodes']>[string] {
  return {
    gpus: { model: random.pick(['H100-80GB', 'A100-80GB']), count: random.integer(1, 4) },
    booted: -random.integer(4000, 900_000),
    ...(random.chance(0.2) ? { cgroups: 1 } : {}),
    ...(random.chance(0.2) ? { accounting: true } : {}),
  };
}

function feedsOf(random: Random, length: number): NonNullable<Document['feeds']> {
  const lag = random.pick([0, 0, 20, 120]);
  const from = Math.round(length * random.next() * 0.6);
  return {
    slurm: { lag, ...(random.chance(0.25) ? { down: [{ from, to: from + random.integer(60, 300) }] } : {}) },
  };
}

/** What sensors say that is not so. */
const LIES = [
  { utilisation: 0 },
  { utilisation: 70 },
  { hideProcesses: true },
  { utilisation: 0, hideProcesses: true },
  { watts: 60 },
  { watts: 450 },
  { memory: '1GiB' },
] as const;

const MAX_FAULTS = 3;

function addFaults(site: Site): void {
  const { random, document } = site;
  for (let faults = random.integer(0, MAX_FAULTS); faults > 0; faults -= 1) {
    const before = document.faults ?? [];
    document.faults = [...before, ...faultsOf(site)];
    if (startsByAnotherClock(document.faults)) document.faults = before;
    try {
      build(Scenario.parse(document));
    } catch (error) {
      // A process would begin while its node is down: this one does not happen.
      if (!(error instanceof ScenarioError)) throw error;
      document.faults = before;
    }
  }
}

const RESTARTS: readonly string[] = ['agent_killed', 'agent_stopped', 'reboot'];

/** An agent that starts with a clock that was set is booked at the times that it states: nothing tells it of the true ones. */
const startsByAnotherClock = (faults: readonly Fault[]): boolean =>
  faults.some(
    (step) =>
      step.kind === 'clock_step' &&
      faults.some((fault) => RESTARTS.includes(fault.kind) && 'node' in fault && fault.node === step.node),
  );

function faultsOf(site: Site): Fault[] {
  const { random, document, length } = site;
  const node = random.pick(Object.keys(document.nodes ?? {}));
  const gpus = random.integer(0, (document.nodes?.[node]?.gpus?.count ?? 1) - 1);
  const from = site.second(30, length * 0.7);
  const to = from + random.pick([site.second(5, 30), site.second(60, 200), site.second(100, 400)]);
  const span = { node, from, to };
  // One that is still gone at the end is silent by when it was heard last, which facts that are told anew do not repeat.
  const gone = { node, from, to: Math.min(to, length - 2 * site.poll) };
  return random.pick<() => Fault[]>([
    () => [{ kind: 'agent_killed', ...gone }],
    () => [{ kind: 'agent_stopped', ...gone }],
    () => [{ kind: 'agent_frozen', ...gone }],
    () => [{ kind: 'clock_step', node, at: from, by: random.pick([-3600, -40, -2, 3, 45, 3600]) }],
    () => [{ kind: 'tool', ...span, how: random.pick(['hang', 'fail', 'empty']) }],
    () => [
      {
        kind: 'tool',
        ...span,
        how: 'half_line',
        call: random.pick(['--query-gpu', 'pmon', '--query-compute-apps']),
      },
    ],
    () => [{ kind: 'device', ...span, gpus, how: random.pick(['requires_reset', 'lost', 'gone', 'says']) }],
    () => [{ kind: 'sensors', ...span, gpus, ...random.pick(LIES) }],
    () => [{ kind: 'service_away', from, to }],
    () => [{ kind: 'service_restarted', at: from, for: random.pick([5, 30, 120]) }],
    () => [{ kind: 'answers_lost', from, to }],
    () => [{ kind: 'reboot', node, at: from, for: random.pick([60, 180]) }],
    () => [
      { kind: 'service_away', from, to: to + 60 },
      { kind: 'spool_edited', node, at: to + 30 },
    ],
  ])();
}

/** Without loads that nothing uses: a file is for reading. */
function used(document: Document): Document {
  const names = new Set(
    Object.values(document.processes ?? {}).flatMap(({ uses = [] }) => uses.map(({ load }) => load)),
  );
  return {
    ...document,
    loads: Object.fromEntries(Object.entries(document.loads ?? {}).filter(([name]) => names.has(name))),
  };
}
