/** One number that answers one question. */
import { Skeleton } from '@mantine/core';
import type { ReactNode } from 'react';

interface StatProps {
  readonly label: string;
  /** Undefined while it is awaited. */
  readonly value: ReactNode | undefined;
  readonly unit?: string;
  readonly detail?: ReactNode;
  /** `bad` only for settled use without a declaration. */
  readonly tone?: 'plain' | 'bad';
}

export function Stat({ label, value, unit, detail, tone = 'plain' }: StatProps) {
  return (
    <div className="stat">
      <dt>{label}</dt>
      <dd className={tone === 'bad' ? 'stat-value stat-bad' : 'stat-value'}>
        {value === undefined ? <Skeleton height={28} width={110} mt={6} /> : value}
        {unit && value !== undefined ? <span className="stat-unit">{unit}</span> : null}
      </dd>
      <dd className="stat-detail">{value === undefined ? null : detail}</dd>
    </div>
  );
}
