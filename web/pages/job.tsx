/** One job: what it declared, what ran inside it, and on which devices. */
import { Anchor } from '@mantine/core';
import { Link, useParams } from 'react-router';
import type { JobDetail, JobOut } from '../../api/contract/jobs.ts';
import { Badge } from '../components/badges.tsx';
import { type Column, DataTable } from '../components/data-table.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Moment } from '../components/moment.tsx';
import { PageHead } from '../components/page-head.tsx';
import { PagePlaceholder } from '../components/page-placeholder.tsx';
import { Section } from '../components/section.tsx';
import { SumsBar } from '../components/sums-bar.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatGpuHours, formatPercent } from '../format.ts';
import { useJob } from '../queries.ts';
import { reasonWords } from '../words.ts';

type Inside = JobDetail['inside'][number];
type Device = JobDetail['devices'][number];

const INSIDE: readonly Column<Inside>[] = [
  {
    key: 'executable',
    head: 'Executable',
    cell: (row) => <Untrusted text={row.executable} maxChars={60} mono />,
  },
  {
    key: 'verdict',
    head: 'Counted as',
    cell: (row) =>
      row.bucket === 'used' ? (
        <span className="badges">
          Used{row.suspicious ? <Badge tone="warn">Not what the job began with</Badge> : null}
        </span>
      ) : (
        <span>
          {row.reason === null ? 'No matching declaration' : reasonWords(row.reason)}
          {row.finding === null ? null : (
            <>
              {' '}
              <Anchor component={Link} to={`/findings/${encodeURIComponent(row.finding)}`}>
                Finding
              </Anchor>
            </>
          )}
        </span>
      ),
  },
  { key: 'processes', head: 'Processes', numeric: true, cell: (row) => row.processes },
  {
    key: 'active',
    head: 'Active GPU-h',
    numeric: true,
    cell: (row) => formatGpuHours(row.activeMs, 2),
  },
];

const DEVICES: readonly Column<Device>[] = [
  {
    key: 'device',
    head: 'Device',
    cell: (row) => (
      <span>
        <Anchor component={Link} to={`/nodes/${encodeURIComponent(row.node)}`}>
          <Untrusted text={row.node} maxChars={32} focusable={false} />
        </Anchor>{' '}
        GPU {row.index ?? '?'} {row.assumed ? <Badge>Assumed</Badge> : null}
      </span>
    ),
  },
  {
    key: 'bar',
    head: 'What happened',
    cell: (row) => <SumsBar sums={row.sums} label={`GPU ${row.index ?? '?'}`} />,
  },
  {
    key: 'allocated',
    head: 'Allocated GPU-h',
    numeric: true,
    cell: (row) => formatGpuHours(row.sums.allocatedMs, 2),
  },
  { key: 'used', head: 'Used', numeric: true, cell: (row) => formatGpuHours(row.sums.usedMs, 2) },
  {
    key: 'held',
    head: 'Reserved, not active',
    numeric: true,
    cell: (row) => formatGpuHours(row.sums.heldMs, 2),
  },
  {
    key: 'unaccounted',
    head: 'Unaccounted',
    numeric: true,
    cell: (row) => formatGpuHours(row.sums.unaccountedMs, 2),
  },
];

const placeOf = (allocation: JobOut['allocations'][number]): string => {
  const what = allocation.indices?.length ?? allocation.devices?.length ?? allocation.count ?? null;
  const gpus = what === null ? 'all GPUs' : `${what} GPU${what === 1 ? '' : 's'}`;
  if (allocation.pending.length === 0) return gpus;
  return `${gpus}, of which no inventory has ${allocation.pending.map((index) => `/dev/nvidia${index}`).join(', ')}`;
};

const VERSIONS: readonly Column<JobOut>[] = [
  { key: 'version', head: 'Version', cell: (version) => version.version },
  {
    key: 'recorded',
    head: 'Recorded',
    cell: (version) => (
      <span>
        <Moment iso={version.recordedAt} precision="second" />{' '}
        <span className="soft">
          by <Untrusted text={version.recordedBy} maxChars={28} />
        </span>
      </span>
    ),
  },
  { key: 'account', head: 'Account', cell: (version) => <Untrusted text={version.account} maxChars={28} /> },
  { key: 'user', head: 'OS account', cell: (version) => <Untrusted text={version.user} maxChars={28} /> },
  { key: 'start', head: 'Start', cell: (version) => <Moment iso={version.start} precision="second" /> },
  {
    key: 'end',
    head: 'End',
    cell: (version) => (version.end === null ? 'Open' : <Moment iso={version.end} precision="second" />),
  },
  {
    key: 'allocations',
    head: 'Allocations',
    cell: (version) =>
      version.allocations.map((allocation, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a version never changes, so its allocations keep their places.
        <div key={index}>
          <Untrusted text={allocation.node} maxChars={28} focusable={false} />: {placeOf(allocation)}
        </div>
      )),
  },
];

function Texts({ texts, none }: { texts: readonly string[]; none: string }) {
  if (texts.length === 0) return <span className="soft">{none}</span>;
  return texts.map((text) => (
    <span key={text} className="claim">
      <Untrusted text={text} maxChars={70} mono />
    </span>
  ));
}

const MARK_WORDS: Readonly<Record<JobDetail['marks'][number], string>> = {
  late: 'Its source recorded it after its start.',
  backdated: 'It was declared after its start: it counts from a minute before that.',
  extended: 'A later version claims more, from its own recording on.',
  broad: 'This declaration would cover anything.',
  other_user: 'It is declared for an account that its declarer does not stand for: it covers nothing.',
};

/** What it says beside its executables, where it says anything. */
function saidOf(job: JobDetail): (readonly [string, readonly string[]])[] {
  const said: (readonly [string, readonly string[]])[] = [
    ['Image', job.image === null ? [] : [job.image]],
    ['Entrypoint', job.entrypoint],
    ['Command lines', job.commandPattern === null ? [] : [job.commandPattern]],
    ['Expected peers', job.peers],
    ['Processes on a device', job.processesPerDevice === null ? [] : [`at most ${job.processesPerDevice}`]],
    ['Runs inside of', job.within === null ? [] : [`${job.within.source} ${job.within.externalId}`]],
    ['Its scheduler says', Object.entries(job.attributes).map(([name, value]) => `${name}: ${value}`)],
  ];
  return said.filter(([, texts]) => texts.length > 0);
}

/** To whom a stretch of its time is charged; `alone`: all of it. */
function Charge({ charge, alone }: { charge: JobDetail['charged'][number]; alone: boolean }) {
  const { account, project, costCentre, mapped } = charge;
  return (
    <div>
      Account <Untrusted text={account} maxChars={48} />
      {project === null ? null : (
        <>
          , project <Untrusted text={project} maxChars={48} />
        </>
      )}
      {costCentre === null ? null : (
        <>
          , cost centre <Untrusted text={costCentre} maxChars={48} />
        </>
      )}
      {alone ? null : (
        <span className="soft">
          {' '}
          from <Moment iso={charge.from} />
        </span>
      )}
      {mapped ? null : (
        <div className="soft small">Not mapped: no rule matches, the declared account pays.</div>
      )}
    </div>
  );
}

function Declaration({ job }: { job: JobDetail }) {
  return (
    <Section title="What was declared">
      <dl className="facts">
        <div className="fact">
          <dt>Account</dt>
          <dd>
            <Untrusted text={job.account} />
          </dd>
        </div>
        <div className="fact">
          <dt>OS account</dt>
          <dd>
            <Untrusted text={job.user} />
          </dd>
        </div>
        <div className="fact">
          <dt>Time</dt>
          <dd>
            <Moment iso={job.start} precision="second" /> to{' '}
            {job.end === null ? 'open end' : <Moment iso={job.end} precision="second" />}
          </dd>
        </div>
        <div className="fact">
          <dt>Source</dt>
          <dd>
            <Untrusted text={`${job.source} ${job.sourceInstance}`} />{' '}
            <span className="soft">{job.selfDeclared ? 'declared by itself' : 'a scheduler’s record'}</span>
          </dd>
        </div>
        <div className="fact">
          <dt>Executables</dt>
          <dd>
            <Texts texts={job.executables} none="It declares none" />
          </dd>
        </div>
        <div className="fact">
          <dt>Kernel boundaries</dt>
          <dd>
            <Texts texts={job.boundaries} none="None" />
          </dd>
        </div>
        {saidOf(job).map(([name, texts]) => (
          <div key={name} className="fact">
            <dt>{name}</dt>
            <dd>
              <Texts texts={texts} none="None" />
            </dd>
          </div>
        ))}
        {job.marks.length > 0 && (
          <div className="fact">
            <dt>As evidence</dt>
            <dd>{job.marks.map((mark) => MARK_WORDS[mark]).join(' ')}</dd>
          </div>
        )}
        <div className="fact">
          <dt>Charged to</dt>
          <dd>
            {job.charged.map((charge) => (
              <Charge key={charge.from} charge={charge} alone={job.charged.length === 1} />
            ))}
          </dd>
        </div>
        {job.overlaps.length > 0 && (
          <div className="fact">
            <dt>Claimed by others too</dt>
            <dd>
              <Texts
                texts={job.overlaps.map((one) => `${one.job.source} ${one.job.externalId} on ${one.node}`)}
                none="None"
              />{' '}
              <Anchor component={Link} to={`/conflicts?account=${encodeURIComponent(job.account)}`}>
                Conflicting claims
              </Anchor>
            </dd>
          </div>
        )}
      </dl>
    </Section>
  );
}

function Use({ job }: { job: JobDetail }) {
  const { use } = job;
  const fact = (name: string, ms: number) => (
    <div className="fact">
      <dt>{name}</dt>
      <dd className="big">
        {formatGpuHours(ms, 2)} <span className="stat-unit">GPU-h</span>
      </dd>
    </div>
  );
  return (
    <dl className="facts facts-key">
      {fact('Allocated', use.allocatedMs)}
      {fact('Used', use.usedMs)}
      {job.usedInOthersMs > 0 ? fact('Used inside another job', job.usedInOthersMs) : null}
      {fact('Reserved, not active', use.heldMs)}
      <div className="fact">
        <dt>Efficiency</dt>
        <dd className="big">{formatPercent(use.usedMs, use.allocatedMs)}</dd>
      </div>
      {fact('Unaccounted inside', use.unaccountedInsideMs)}
      {fact('Not measured inside', use.unobservedInsideMs)}
    </dl>
  );
}

const BACK = { to: '/jobs', label: 'All jobs' } as const;

export function JobPage() {
  const { id = '' } = useParams();
  const { data: job, error, refetch } = useJob(id);
  if (error && !job) return <Failure error={error} retry={() => void refetch()} back={BACK} />;
  if (!job) return <PagePlaceholder />;
  return (
    <>
      <nav aria-label="Back" className="crumbs">
        <Anchor component={Link} to="/jobs">
          Jobs
        </Anchor>
      </nav>
      <PageHead
        title={`Job ${job.externalId}`}
        heading={
          <>
            {job.source} <Untrusted text={job.externalId} maxChars={60} />
          </>
        }
        lead={<Untrusted text={job.name} maxChars={120} />}
        aside={job.end === null ? <Badge>Open</Badge> : <Badge>Ended</Badge>}
      />
      <Use job={job} />
      <Section title="What ran inside it" hint="By executable." padded={false}>
        <DataTable
          caption="Executables that ran inside the job"
          columns={INSIDE}
          rows={job.inside}
          rowKey={(row) => `${row.executable} ${row.bucket} ${row.reason ?? ''} ${row.finding ?? ''}`}
          rowClass={(row) => (row.bucket === 'unaccounted' ? 'row-settled' : '')}
          empty={<Empty title="No process of it was seen on a GPU" />}
        />
      </Section>
      <Section title="Devices" padded={false}>
        <DataTable
          caption="Devices that the job was given"
          columns={DEVICES}
          rows={job.devices}
          rowKey={(row) => row.device}
          empty={<Empty title="It holds no device that an agent knows" />}
        />
      </Section>
      <Declaration job={job} />
      <Section title="Versions" hint="Every version is kept; verdicts say which they knew." padded={false}>
        <DataTable
          caption="Versions of the declaration"
          columns={VERSIONS}
          rows={job.versions}
          rowKey={(version) => String(version.version)}
          empty={<Empty title="No versions" />}
        />
      </Section>
    </>
  );
}
