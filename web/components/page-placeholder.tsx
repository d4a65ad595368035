/** Keeps a page's place while its code or first answer loads. */
import { Skeleton } from '@mantine/core';

export function PagePlaceholder() {
  return (
    <div aria-busy="true">
      <span className="visually-hidden">Loading</span>
      <Skeleton height={34} width={260} mb="lg" />
      <Skeleton height={76} mb="md" />
      <Skeleton height={360} />
    </div>
  );
}
