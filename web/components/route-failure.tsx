/** What is shown when a page's own code fails or cannot be loaded, as after an upgrade of the service. */
import { useRouteError } from 'react-router';
import { Failure } from './failure.tsx';

export function RouteFailure() {
  const thrown = useRouteError();
  const error = thrown instanceof Error ? thrown : new Error('An unknown fault.');
  return (
    <div className="main">
      <Failure error={error} retry={() => location.reload()} />
    </div>
  );
}
