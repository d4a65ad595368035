/** What the site's policy exempts: uses that stand in the place of a job, who answers for them, and until when. */
import { Anchor } from '@mantine/core';
import { Link } from 'react-router';
import type { PolicyOut } from '../../api/contract/policy.ts';
import { usePolicy } from '../queries.ts';
import { evidenceWords } from '../words.ts';
import { type Column, DataTable } from './data-table.tsx';
import { Empty, Failure } from './failure.tsx';
import { Moment } from './moment.tsx';
import { Section } from './section.tsx';
import { Untrusted } from './untrusted.tsx';

type Exemption = PolicyOut['exemptions'][number];

/** In the words of the file that it was written in. */
function matchLines({ match }: Exemption): string[] {
  const { executables, boundaries, uids, types, nodes, windows, daily } = match;
  const lists: readonly [string, readonly string[]][] = [
    ['Executables', executables],
    ['In', boundaries],
    ['Account number', uids.map(String)],
    ['Type', types],
    ['On', nodes],
    ['Only', windows.map(({ from, to }) => `${from} to ${to}`)],
    ['Daily', daily.map(({ from, to }) => `${from} to ${to} UTC`)],
  ];
  return lists.flatMap(([name, items]) => (items.length === 0 ? [] : [`${name}: ${items.join(', ')}`]));
}

const COLUMNS: readonly Column<Exemption>[] = [
  {
    key: 'exemption',
    head: 'Exemption',
    cell: (one) => (
      <div>
        <Anchor component={Link} to={`/jobs/${encodeURIComponent(one.job)}`}>
          <Untrusted text={one.id} maxChars={40} focusable={false} />
        </Anchor>
        <div className="soft small">
          <Untrusted text={one.reason} maxChars={80} />
        </div>
      </div>
    ),
  },
  {
    key: 'covers',
    head: 'Covers',
    cell: (one) => (
      <div className="small">
        {matchLines(one).map((line) => (
          <div key={line}>
            <Untrusted text={line} maxChars={100} />
          </div>
        ))}
      </div>
    ),
  },
  {
    key: 'owner',
    head: 'Answers for it',
    cell: (one) => (
      <div>
        <Untrusted text={one.owner} maxChars={32} />
        <div className="soft small">
          <Untrusted text={one.account} maxChars={32} />
        </div>
      </div>
    ),
  },
  { key: 'from', head: 'Since', cell: (one) => <Moment iso={one.from} stacked /> },
  { key: 'until', head: 'Until', cell: (one) => <Moment iso={one.until} stacked /> },
];

function Hint({ policy }: { policy: PolicyOut }) {
  const { version, from, recordedBy, weakestEvidence, endGraceMs } = policy;
  return (
    <>
      {from === null ? (
        'The built-in policy'
      ) : (
        <>
          Version {version} of <Untrusted text={recordedBy} maxChars={40} />, from <Moment iso={from} />
        </>
      )}
      . The weakest evidence that counts is {evidenceWords(weakestEvidence).toLowerCase()}; a verdict waits{' '}
      {endGraceMs / 1000} s after a job’s end.
    </>
  );
}

export function SitePolicy() {
  const { data, error, refetch } = usePolicy();
  return (
    <Section title="Site policy" hint={data ? <Hint policy={data.current} /> : undefined} padded={false}>
      {error && !data ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <DataTable
          caption="What the site’s policy exempts"
          columns={COLUMNS}
          rows={data?.current.exemptions}
          rowKey={(one) => one.id}
          placeholders={2}
          empty={
            <Empty title="Nothing is exempt">
              <p>Diagnostics, checks between jobs and displays are findings until the policy covers them:</p>
              <pre className="command">{`npx gpuledger policy show > policy.yaml
npx gpuledger policy check policy.yaml`}</pre>
            </Empty>
          }
        />
      )}
    </Section>
  );
}
