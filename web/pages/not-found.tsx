/** An address that leads nowhere. */
import { Anchor } from '@mantine/core';
import { Link } from 'react-router';
import { PageHead } from '../components/page-head.tsx';

export function NotFoundPage() {
  return (
    <>
      <PageHead title="There is no such page" />
      <p>
        The address may be from another version. The{' '}
        <Anchor component={Link} to="/">
          overview
        </Anchor>{' '}
        leads everywhere.
      </p>
    </>
  );
}
