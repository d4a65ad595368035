/** The sentences of a finding: neutral, in one fixed order, so that admin and job owner read the same account. */
import { Fragment } from 'react';
import type { FindingDetail } from '../../api/contract/findings.ts';
import { formatCount, formatGpuHours, formatMoney } from '../format.ts';
import { CONNECTION_WORDS, PEER_WORDS } from '../words.ts';
import { type Column, DataTable } from './data-table.tsx';
import { JobLink } from './job-link.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

/** Sentences quote workloads; they are never cut, since a verdict hangs on them. */
const SENTENCE_CHARS = 4_000;
const CANDIDATES_SHOWN = 5;
const EXAMPLES_SHOWN = 3;

function Sentences({ sentences, none }: { sentences: readonly string[]; none: string }) {
  if (sentences.length === 0) return <p className="soft">{none}</p>;
  return (
    <ul className="sentences">
      {sentences.map((sentence) => (
        <li key={sentence}>
          <Untrusted text={sentence} maxChars={SENTENCE_CHARS} />
        </li>
      ))}
    </ul>
  );
}

type Candidate = FindingDetail['story']['candidates'][number];

function CandidateList({ candidates }: { candidates: readonly Candidate[] }) {
  return (
    <ul className="sentences">
      {candidates.map((candidate) => (
        <li key={candidate.job.id}>
          <JobLink job={candidate.job} withName />:{' '}
          <Untrusted text={candidate.why} maxChars={SENTENCE_CHARS} />
        </li>
      ))}
    </ul>
  );
}

/** The likeliest candidates at once; the long tail of jobs that merely ran nearby is a click away. */
function Candidates({ candidates }: { candidates: readonly Candidate[] }) {
  if (candidates.length === 0)
    return <p className="soft">No declared job comes near it in time and place.</p>;
  const rest = candidates.slice(CANDIDATES_SHOWN);
  return (
    <>
      <CandidateList candidates={candidates.slice(0, CANDIDATES_SHOWN)} />
      {rest.length > 0 ? (
        <details className="more">
          <summary>{rest.length} more that ran near it</summary>
          <CandidateList candidates={rest} />
        </details>
      ) : null}
    </>
  );
}

/** `compute`: of GPU time, which a job could have covered. */
export function Story({ story, compute }: { story: FindingDetail['story']; compute: boolean }) {
  return (
    <div className="story">
      <Section title="What was observed">
        <Sentences sentences={story.observed} none="Nothing beyond the time line above." />
      </Section>
      <Section title="What was not observed">
        <Sentences sentences={story.notObserved} none="Nothing that matters here is missing." />
      </Section>
      {compute ? (
        <Section title="Why each candidate job does not cover it" wide>
          <Candidates candidates={story.candidates} />
        </Section>
      ) : null}
      <Section title="Innocent causes">
        <Sentences sentences={story.innocentCauses} none="None is known for this pattern." />
      </Section>
      <Section title="What would change the verdict">
        <Sentences sentences={story.wouldChange} none="Nothing that can still be recorded." />
      </Section>
    </div>
  );
}

type ConnectionRow = FindingDetail['connections'][number];

/** Whole addresses, never cut ones; how many more there were is said. */
function Examples({ row }: { row: ConnectionRow }) {
  const shown = row.examples.slice(0, EXAMPLES_SHOWN);
  return (
    <>
      {shown.map((example, index) => (
        <Fragment key={example}>
          {index > 0 ? ', ' : ''}
          <Untrusted text={example} maxChars={56} mono />
        </Fragment>
      ))}
      {row.peers > shown.length ? (
        <span className="soft"> and {formatCount(row.peers - shown.length)} more</span>
      ) : null}
    </>
  );
}

const CONNECTIONS: readonly Column<ConnectionRow>[] = [
  {
    key: 'process',
    head: 'Process',
    cell: (row) => (
      <>
        <Untrusted text={row.comm} maxChars={24} mono /> <span className="soft">pid {row.pid ?? '?'}</span>
      </>
    ),
  },
  { key: 'kind', head: 'What', cell: (row) => CONNECTION_WORDS[row.kind] },
  { key: 'peer', head: 'With', cell: (row) => PEER_WORDS[row.peerClass] },
  { key: 'peers', head: 'Peers', numeric: true, cell: (row) => formatCount(row.peers) },
  {
    key: 'examples',
    head: 'Examples',
    cell: (row) =>
      row.examples.length === 0 ? <span className="soft">Erased or unreadable</span> : <Examples row={row} />,
  },
  { key: 'port', head: 'Local port', numeric: true, cell: (row) => row.localPort || 'various' },
  { key: 'first', head: 'First', cell: (row) => <Moment iso={row.first} precision="second" /> },
  { key: 'last', head: 'Last', cell: (row) => <Moment iso={row.last} precision="second" /> },
];

type DialRow = FindingDetail['dials'][number];

function Dials({ row }: { row: DialRow }) {
  return (
    <p className="soft">
      {row.ofHost === false ? 'In its network namespace ' : 'On the whole machine, by whomever, '}
      {formatCount(row.attempts)} connections were tried and {formatCount(row.failed)} failed, at most{' '}
      {formatCount(row.mostAMinute)} a minute, between <Moment iso={row.from} precision="second" /> and{' '}
      <Moment iso={row.to} precision="second" />.
    </p>
  );
}

export function Connections({
  connections,
  dials,
}: {
  connections: readonly ConnectionRow[];
  dials: readonly DialRow[];
}) {
  return (
    <Section
      title="Connections"
      hint="Of the source process and of those beside it in the tree. They never decide the verdict."
      padded={connections.length === 0}
    >
      <DataTable
        caption="Connections of the source process and of those beside it"
        columns={CONNECTIONS}
        rows={connections}
        rowKey={(row) => `${row.process} ${row.kind} ${row.peerClass} ${row.localPort} ${row.first}`}
        empty={<p className="soft">None was seen.</p>}
      />
      {dials.map((row) => (
        <Dials key={row.from} row={row} />
      ))}
    </Section>
  );
}

type ChargeRow = FindingDetail['cost']['charged'][number];

const CHARGES: readonly Column<ChargeRow>[] = [
  { key: 'account', head: 'Account', cell: (row) => <Untrusted text={row.account} maxChars={40} /> },
  { key: 'job', head: 'Job', cell: (row) => <JobLink job={row.job} withName /> },
  { key: 'hours', head: 'Allocated GPU-h', numeric: true, cell: (row) => formatGpuHours(row.ms, 2) },
  { key: 'amount', head: 'Already charged', numeric: true, cell: (row) => formatMoney(row.amount) },
];

export function Cost({ finding }: { finding: FindingDetail }) {
  const { cost } = finding;
  return (
    <Section
      title="What it cost, and who was already charged"
      hint="A value, not a charge: it is part of what the accounts below were charged, and is added to no statement."
    >
      <dl className="facts facts-wide">
        <div className="fact">
          <dt>Value of the active time</dt>
          <dd>{cost.value ? formatMoney(cost.value) : 'No rate is set for these devices'}</dd>
        </div>
        <div className="fact">
          <dt>Active</dt>
          <dd>{formatGpuHours(finding.activeMs, 2)} GPU-h</dd>
        </div>
        <div className="fact">
          <dt>Occupied, active or not</dt>
          <dd>{formatGpuHours(cost.occupiedMs, 2)} GPU-h</dd>
        </div>
      </dl>
      <DataTable
        caption="Accounts that were already charged for this time"
        columns={CHARGES}
        rows={cost.charged}
        rowKey={(row) => row.job.id}
        empty={<p className="soft">Nobody was charged: no job held these devices at the time.</p>}
      />
    </Section>
  );
}

export function History({ history }: { history: FindingDetail['history'] }) {
  return (
    <Section title="History of the verdict">
      {history.length === 0 ? (
        <p className="soft">It has been the same since it was first recorded.</p>
      ) : (
        <ol className="history">
          {history.map((entry) => (
            <li key={`${entry.at} ${entry.text}`}>
              <Moment iso={entry.at} precision="second" />
              <span>
                <Untrusted text={entry.text} maxChars={SENTENCE_CHARS} />
              </span>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}
