/** A month by account, adding up to the fleet's capacity, with the check shown. */
import { Button, NativeSelect, Skeleton } from '@mantine/core';
import { Fragment } from 'react';
import { useSearchParams } from 'react-router';
import type { Statement } from '../../api/contract/finance.ts';
import { statementCsvAddress } from '../client.ts';
import { Badge } from '../components/badges.tsx';
import { CompletenessBanner } from '../components/completeness.tsx';
import { Empty, Failure } from '../components/failure.tsx';
import { Typed } from '../components/filters.tsx';
import { CheckIcon } from '../components/icons.tsx';
import { PageHead } from '../components/page-head.tsx';
import { Section } from '../components/section.tsx';
import { Untrusted } from '../components/untrusted.tsx';
import { formatCount, formatDecimal, formatGpuHours, UNKNOWN } from '../format.ts';
import { useStatement } from '../queries.ts';
import { recentMonths } from '../range.ts';
import { useSettings } from '../settings.tsx';

const MONTHS = 24;
const HOUR_DECIMALS = 2;

type Account = Statement['accounts'][number];

const hours = (ms: number): string => formatGpuHours(ms, HOUR_DECIMALS);
const amountText = (amount: string | null): string => (amount === null ? UNKNOWN : formatDecimal(amount));

/** Whether the mapping says more than an account of anything, so that its columns are worth their room. */
const isBooked = (statement: Statement): boolean =>
  statement.accounts.some(({ lines }) =>
    lines.some((line) => line.project !== null || line.costCentre !== null),
  );

/** The accounts with those lines whose account, project or cost centre has the text. */
function matching(accounts: readonly Account[], text: string): readonly Account[] {
  const wanted = text.toLowerCase();
  return accounts.flatMap((account) => {
    const lines = account.lines.filter((line) =>
      [line.account, line.project, line.costCentre].some((name) => name?.toLowerCase().includes(wanted)),
    );
    return lines.length === 0 ? [] : [{ ...account, lines }];
  });
}

function Line({ line, booked }: { line: Account['lines'][number]; booked: boolean }) {
  return (
    <tr className="statement-line">
      <td>
        <Untrusted text={line.model} maxChars={40} />
      </td>
      {booked ? (
        <>
          <td>{line.project === null ? UNKNOWN : <Untrusted text={line.project} maxChars={28} />}</td>
          <td>{line.costCentre === null ? UNKNOWN : <Untrusted text={line.costCentre} maxChars={28} />}</td>
        </>
      ) : null}
      <td className="num">
        <span title={`${line.gpuHours} GPU-hours`}>{formatDecimal(line.gpuHours, HOUR_DECIMALS)}</span>
      </td>
      <td className="num">{hours(line.sums.usedMs)}</td>
      <td className="num">{hours(line.sums.heldMs)}</td>
      <td className="num">{hours(line.sums.unaccountedInsideMs)}</td>
      <td className="num">{hours(line.sums.unobservedInsideMs)}</td>
      <td className="num">{line.ratePerGpuHour === null ? UNKNOWN : formatDecimal(line.ratePerGpuHour)}</td>
      <td className="num">
        {line.amount === null ? UNKNOWN : <span title={line.amount}>{formatDecimal(line.amount, 2)}</span>}
      </td>
    </tr>
  );
}

function AccountRows({ account, of, booked }: { account: Account; of: Account; booked: boolean }) {
  const sum = (pick: (line: Account['lines'][number]) => number) =>
    hours(of.lines.reduce((total, line) => total + pick(line), 0));
  return (
    <Fragment>
      <tr className="statement-account">
        <th scope="rowgroup">
          <Untrusted text={account.account} maxChars={48} />
        </th>
        {booked ? <td colSpan={2} /> : null}
        <td className="num">{formatDecimal(account.gpuHours, HOUR_DECIMALS)}</td>
        <td className="num">{sum((line) => line.sums.usedMs)}</td>
        <td className="num">{sum((line) => line.sums.heldMs)}</td>
        <td className="num">{sum((line) => line.sums.unaccountedInsideMs)}</td>
        <td className="num">{sum((line) => line.sums.unobservedInsideMs)}</td>
        <td />
        <td className="num">{amountText(account.total)}</td>
      </tr>
      {account.lines.map((line) => (
        <Line key={JSON.stringify([line.model, line.project, line.costCentre])} line={line} booked={booked} />
      ))}
    </Fragment>
  );
}

function StatementTable({ statement, text }: { statement: Statement; text: string }) {
  const { unheld, total, currency } = statement;
  const booked = isBooked(statement);
  const shown = matching(statement.accounts, text);
  const whole = new Map(statement.accounts.map((account) => [account.account, account]));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <section className="table-scroll" tabIndex={0} aria-label={`Statement of ${statement.period}`}>
      <table className="table statement">
        <caption className="visually-hidden">
          Statement of {statement.period}: GPU-hours and charges by account
        </caption>
        <thead>
          <tr>
            <th scope="col">Account and model</th>
            {booked ? (
              <>
                <th scope="col">Project</th>
                <th scope="col">Cost centre</th>
              </>
            ) : null}
            <th scope="col" className="num">
              Allocated GPU-h
            </th>
            <th scope="col" className="num">
              Used
            </th>
            <th scope="col" className="num">
              Reserved, not active
            </th>
            <th scope="col" className="num" title="Of the allocated time; charged, since it was allocated">
              No matching declaration
            </th>
            <th scope="col" className="num" title="Of the allocated time; charged, since it was allocated">
              Not measured
            </th>
            <th scope="col" className="num">
              Rate per GPU-h
            </th>
            <th scope="col" className="num">
              Charge{currency ? `, ${currency}` : ''}
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.length === 0 && text !== '' ? (
            <tr>
              <td colSpan={booked ? 10 : 8} className="soft">
                No account, project or cost centre has this in its name.
              </td>
            </tr>
          ) : null}
          {shown.map((account) => (
            <AccountRows
              key={account.account}
              account={account}
              of={whole.get(account.account) ?? account}
              booked={booked}
            />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={booked ? 3 : 1}>
              Charged to accounts
            </th>
            <td className="num">{hours(total.chargedMs)}</td>
            <td colSpan={5} />
            <td className="num">{amountText(total.amount)}</td>
          </tr>
          <tr className="statement-unheld">
            <th scope="row" colSpan={booked ? 3 : 1}>
              Held by nobody
            </th>
            <td className="num">{hours(unheld.capacityMs)}</td>
            <td colSpan={5} className="soft small">
              idle {hours(unheld.idleMs)}, not measured {hours(unheld.unobservedMs)}, no matching declaration{' '}
              {hours(unheld.unaccountedMs)}
            </td>
            <td className="num soft">not charged</td>
          </tr>
        </tfoot>
      </table>
    </section>
  );
}

/** The sum that makes a statement trustworthy, in integer milliseconds, so that nothing hides in rounding. */
function FootingCheck({ check }: { check: Statement['check'] }) {
  return (
    <div className={check.balanced ? 'footing footing-ok' : 'footing footing-off'}>
      <p className="footing-verdict">
        {check.balanced ? (
          <>
            <CheckIcon size={18} /> Adds up to capacity
          </>
        ) : (
          <>Does not add up: {formatCount(check.differenceMs)} ms are missing or too many</>
        )}
      </p>
      <table className="footing-table">
        <caption className="visually-hidden">Accounts and unheld time against capacity</caption>
        <tbody>
          <tr>
            <th scope="row">Accounts</th>
            <td className="num">{hours(check.accountsMs)} GPU-h</td>
            <td className="num soft">{formatCount(check.accountsMs)} ms</td>
          </tr>
          <tr>
            <th scope="row">+ Held by nobody</th>
            <td className="num">{hours(check.unheldMs)} GPU-h</td>
            <td className="num soft">{formatCount(check.unheldMs)} ms</td>
          </tr>
          <tr className="footing-total">
            <th scope="row">= Capacity</th>
            <td className="num">{hours(check.capacityMs)} GPU-h</td>
            <td className="num soft">{formatCount(check.capacityMs)} ms</td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}

export function ChargebackPage() {
  const [params, setParams] = useSearchParams();
  const { nowMs } = useSettings();
  const months = recentMonths(nowMs, MONTHS);
  const asked = params.get('period') ?? '';
  const period = /^\d{4}-\d{2}$/.test(asked) ? asked : (months[0] ?? '');
  const options = months.includes(period) ? months : [period, ...months];
  const text = params.get('search') ?? '';
  const { data: statement, error, refetch, isPlaceholderData } = useStatement(period);
  return (
    <>
      <CompletenessBanner {...(statement ? { complete: statement.complete } : {})} />
      <PageHead
        title="Chargeback"
        lead="Each account’s allocated GPU time of a month at its rates, and everything else, down to capacity."
        aside={
          <div className="range-picker">
            <NativeSelect
              aria-label="Month"
              size="sm"
              value={period}
              data={options}
              onChange={(event) => {
                const next = event.currentTarget.value;
                setParams(text === '' ? { period: next } : { period: next, search: text });
              }}
            />
            <Button component="a" href={statementCsvAddress(period)} download variant="default" size="sm">
              Download CSV
            </Button>
          </div>
        }
      />
      <div className="filters">
        <Typed
          label="Show only"
          placeholder="Part of an account, project or cost centre"
          value={text}
          change={(next) => setParams(next === '' ? { period } : { period, search: next })}
        />
      </div>
      {text === '' ? null : (
        <p className="soft notice">The sums stay those of whole accounts and of the whole month.</p>
      )}
      {error && !statement ? <Failure error={error} retry={() => void refetch()} /> : null}
      {!statement && !error ? <Skeleton height={420} /> : null}
      {statement ? (
        <div className={isPlaceholderData ? 'stale' : undefined}>
          <Section
            title={`Statement of ${statement.period}`}
            aside={
              statement.status === 'closed' ? (
                <Badge tone="ok">Closed</Badge>
              ) : (
                <Badge>Open, may change</Badge>
              )
            }
            padded={false}
          >
            {statement.check.capacityMs === 0 ? (
              <Empty title="No capacity in this month">
                <p>No device belonged to the fleet then.</p>
              </Empty>
            ) : (
              <StatementTable statement={statement} text={text} />
            )}
          </Section>
          {statement.check.capacityMs === 0 ? null : (
            <Section title="Does it add up?">
              <FootingCheck check={statement.check} />
            </Section>
          )}
          {isBooked(statement) ? (
            <p className="soft note">
              {UNKNOWN} under project or cost centre: no rule of the mapping says one; the time is charged to
              the account alone.
            </p>
          ) : null}
          {statement.currency === null ? (
            <p className="soft note">
              No rates are set, so nothing is charged yet. An admin sets them with{' '}
              <a href="/docs">PUT /v1/rates</a>.
            </p>
          ) : null}
        </div>
      ) : null}
    </>
  );
}
