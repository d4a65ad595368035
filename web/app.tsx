/** Routes and providers. Each page loads when it is first opened. */
import { localStorageColorSchemeManager, MantineProvider } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { createBrowserRouter, RouterProvider } from 'react-router';
import { ApiError } from './client.ts';
import { Failure } from './components/failure.tsx';
import { PagePlaceholder } from './components/page-placeholder.tsx';
import { RouteFailure } from './components/route-failure.tsx';
import { Shell } from './components/shell.tsx';
import { createLive, type Live } from './live.ts';
import { NotFoundPage } from './pages/not-found.tsx';
import { SignInPage } from './pages/sign-in.tsx';
import { createQueryClient, useSession } from './queries.ts';
import { SettingsProvider } from './settings.tsx';
import { resolveVariables, theme } from './theme.ts';

const queryClient = createQueryClient();
const live = createLive(queryClient);
const schemes = localStorageColorSchemeManager({ key: 'gpuledger-scheme' });

/** Only who is signed in sees the frame; everybody else sees how to sign in. */
function Gate({ live: stream }: { live: Live }) {
  const session = useSession();
  const refused = session.error instanceof ApiError && session.error.status === 401;
  // A service that is away has not signed anybody out: the stream goes on trying.
  const signedIn = session.data !== undefined && !refused;
  useEffect(() => {
    if (!signedIn) return;
    stream.start();
    return () => stream.stop();
  }, [signedIn, stream]);
  if (refused) return <SignInPage />;
  if (session.data) return <Shell session={session.data} live={stream} />;
  return (
    <main className="main">
      {session.error ? (
        <Failure error={session.error} retry={() => void session.refetch()} />
      ) : (
        <PagePlaceholder />
      )}
    </main>
  );
}

function createRouter() {
  return createBrowserRouter([
    {
      element: <Gate live={live} />,
      errorElement: <RouteFailure />,
      hydrateFallbackElement: <PagePlaceholder />,
      children: [
        {
          errorElement: <RouteFailure />,
          children: [
            {
              path: '/',
              lazy: async () => ({ Component: (await import('./pages/overview.tsx')).OverviewPage }),
            },
            {
              path: '/unaccounted',
              lazy: async () => ({ Component: (await import('./pages/unaccounted.tsx')).UnaccountedPage }),
            },
            {
              path: '/findings/:id',
              lazy: async () => ({ Component: (await import('./pages/finding.tsx')).FindingPage }),
            },
            { path: '/jobs', lazy: async () => ({ Component: (await import('./pages/jobs.tsx')).JobsPage }) },
            {
              path: '/conflicts',
              lazy: async () => ({ Component: (await import('./pages/conflicts.tsx')).ConflictsPage }),
            },
            {
              path: '/jobs/:id',
              lazy: async () => ({ Component: (await import('./pages/job.tsx')).JobPage }),
            },
            {
              path: '/nodes',
              lazy: async () => ({ Component: (await import('./pages/nodes.tsx')).NodesPage }),
            },
            {
              path: '/nodes/:name',
              lazy: async () => ({ Component: (await import('./pages/node.tsx')).NodePage }),
            },
            {
              path: '/chargeback',
              lazy: async () => ({ Component: (await import('./pages/chargeback.tsx')).ChargebackPage }),
            },
            { path: '*', element: <NotFoundPage /> },
          ],
        },
      ],
    },
  ]);
}

export function App() {
  const [router] = useState(createRouter);
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={resolveVariables}
      colorSchemeManager={schemes}
      defaultColorScheme="auto"
    >
      <QueryClientProvider client={queryClient}>
        <SettingsProvider>
          <RouterProvider router={router} />
        </SettingsProvider>
      </QueryClientProvider>
    </MantineProvider>
  );
}
