/** The frame of every page: skip link, navigation, connection state, zone and colour scheme. */
import { SegmentedControl, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { type ReactNode, Suspense, useState, useSyncExternalStore } from 'react';
import { Link, Navigate, NavLink, Outlet, ScrollRestoration, useLocation } from 'react-router';
import type { Session } from '../../api/contract/overview.ts';
import { signOut } from '../client.ts';
import { formatMoment } from '../format.ts';
import type { Live } from '../live.ts';
import { useSettings } from '../settings.tsx';
import { MoonIcon, SunIcon } from './icons.tsx';
import { PagePlaceholder } from './page-placeholder.tsx';
import { Untrusted } from './untrusted.tsx';

const PAGES = [
  { to: '/', label: 'Overview', needs: 'ledger:read' },
  { to: '/unaccounted', label: 'Unaccounted', needs: 'findings:read' },
  { to: '/jobs', label: 'Jobs', needs: 'jobs:read' },
  { to: '/nodes', label: 'Nodes', needs: 'fleet:read' },
  { to: '/chargeback', label: 'Chargeback', needs: 'statements:read' },
] as const;

/** What this session may open; the service decides that again with every answer. */
const pagesOf = (session: Session) => PAGES.filter(({ needs }) => session.may.includes(needs));

function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const next = scheme === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`Switch to ${next} colours`}
      title={`Switch to ${next} colours`}
      onClick={() => setColorScheme(next)}
    >
      {scheme === 'dark' ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}

function ZoneToggle() {
  const { zone, setZone } = useSettings();
  return (
    <SegmentedControl
      aria-label="Time zone of all times"
      size="xs"
      value={zone}
      data={[
        { value: 'utc', label: 'UTC' },
        { value: 'local', label: 'Local' },
      ]}
      onChange={(value) => setZone(value === 'local' ? 'local' : 'utc')}
    />
  );
}

function LiveMark({ live }: { live: Live }) {
  const connection = useSyncExternalStore(live.subscribe, live.connection);
  const words = { connecting: 'Connecting', live: 'Live', gone: 'Offline' } as const;
  return (
    <span className={`live live-${connection.state}`} title="Whether this page updates by itself">
      <span className="live-dot" aria-hidden="true" />
      {words[connection.state]}
    </span>
  );
}

function OutageBanner({ live }: { live: Live }) {
  const connection = useSyncExternalStore(live.subscribe, live.connection);
  const { zone } = useSettings();
  if (connection.state !== 'gone') return null;
  const since = formatMoment(new Date(connection.sinceMs).toISOString(), zone, 'second');
  return (
    <div className="outage" role="alert">
      The service has not answered since {since}. What you see is from before; trying again by itself.
    </div>
  );
}

function SignOut() {
  const [failed, setFailed] = useState(false);
  const leave = async () => {
    try {
      await signOut();
      location.assign('/');
    } catch {
      setFailed(true);
    }
  };
  return (
    <>
      <button type="button" className="text-button" onClick={() => void leave()}>
        Sign out
      </button>
      {failed ? <span role="alert"> (the service did not answer: still signed in)</span> : null}
    </>
  );
}

function Header({ session, live }: { session: Session; live: Live }) {
  return (
    <header className="top">
      <div className="top-row">
        <Link to="/" className="brand">
          gpuledger
        </Link>
        <span className="cluster" title="Cluster">
          <Untrusted text={session.cluster} maxChars={24} focusable={false} />
          {session.demo ? <span className="badge">Demo</span> : null}
        </span>
        <nav aria-label="Pages" className="nav">
          {pagesOf(session).map(({ to, label }) => (
            <NavLink key={to} to={to} end={to === '/'} className="nav-link">
              {label}
            </NavLink>
          ))}
        </nav>
        <div className="top-tools">
          <LiveMark live={live} />
          <ZoneToggle />
          <SchemeToggle />
        </div>
      </div>
    </header>
  );
}

function Frame({ children }: { children: ReactNode }) {
  return (
    <main id="main" className="main" tabIndex={-1}>
      {children}
    </main>
  );
}

/** Every address that is opened afresh has the same key: without its path one page would scroll to another's place. */
const scrollKey = ({ key, pathname }: { key: string; pathname: string }): string => `${key} ${pathname}`;

export function Shell({ session, live }: { session: Session; live: Live }) {
  const { pathname } = useLocation();
  const [first] = pagesOf(session);
  // Who may not see the overview begins at the first page that is for them.
  if (pathname === '/' && first !== undefined && first.to !== '/') return <Navigate to={first.to} replace />;
  return (
    <>
      <a href="#main" className="skip">
        Skip to the content
      </a>
      <Header session={session} live={live} />
      <OutageBanner live={live} />
      <Frame>
        <Suspense fallback={<PagePlaceholder />}>
          <Outlet />
        </Suspense>
      </Frame>
      <footer className="foot">
        gpuledger {session.version} · signed in as <Untrusted text={session.name} maxChars={32} /> ·{' '}
        <SignOut /> · <a href="/docs">API</a>
      </footer>
      <ScrollRestoration getKey={scrollKey} />
    </>
  );
}
