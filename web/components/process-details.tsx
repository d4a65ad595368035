/** Everything that is known of one process, and what could not be read. */
import type { ReactNode } from 'react';
import type { ProcessView } from '../../api/contract/findings.ts';
import { formatGpuHours } from '../format.ts';
import { Moment } from './moment.tsx';
import { Untrusted } from './untrusted.tsx';

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Executable({ process }: { process: ProcessView }) {
  const { executable } = process;
  if (!executable) return <span className="soft">Not readable</span>;
  return (
    <>
      <Untrusted text={executable.path} maxChars={90} mono />
      {executable.deleted ? <span className="badge">File deleted</span> : null}
      {executable.fileSystem === null ? null : <FileSystem type={executable.fileSystem} />}
      {executable.inode === null ? null : (
        <span className="soft small">
          {' '}
          device {executable.device ?? '?'}, inode {executable.inode}
        </span>
      )}
    </>
  );
}

/** Programs in memory leave nothing on a disk, which honest ones seldom need. */
function FileSystem({ type }: { type: string }) {
  if (type === 'memfd') return <span className="badge">Runs from memory (memfd)</span>;
  if (type === 'tmpfs' || type === 'ramfs') return <span className="badge">On a file system in memory</span>;
  return (
    <span className="soft small">
      {' '}
      on <Untrusted text={type} maxChars={32} />
    </span>
  );
}

function CommandLine({ process }: { process: ProcessView }) {
  if (process.commandLine === null)
    return (
      <span className="soft">
        {process.argumentsDigest === null ? 'Not readable' : 'Only a digest is kept, or erased by retention'}
      </span>
    );
  return (
    <span className="command-line">
      <Untrusted text={process.commandLine} maxChars={400} mono />
      {process.commandLineCut ? <span className="soft"> (cut by the agent)</span> : null}
    </span>
  );
}

const NAMESPACES = { pid: 'process', net: 'network', mnt: 'file system', user: 'user' } as const;

export function ProcessDetails({ process }: { process: ProcessView }) {
  return (
    <dl className="facts process-details" aria-label={`Process ${process.pid}`}>
      <Fact name="Executable">
        <Executable process={process} />
      </Fact>
      <Fact name="Command line">
        <CommandLine process={process} />
      </Fact>
      <Fact name="Ran as">
        OS account <Untrusted text={process.user} maxChars={32} />
        {process.uid === null ? null : <span className="soft"> uid {process.uid}</span>}
      </Fact>
      <Fact name="Lived">
        <Moment iso={process.startedAt} precision="second" /> to{' '}
        {process.exitedAt === null ? 'now' : <Moment iso={process.exitedAt} precision="second" />}
      </Fact>
      <Fact name="Kernel boundary">
        <Untrusted text={process.boundary} maxChars={80} mono />
      </Fact>
      <Fact name="Cgroup">
        <Untrusted text={process.cgroup} maxChars={110} mono />
      </Fact>
      {process.sessionId === null ? null : (
        <Fact name="Session">
          {process.sessionId === process.pid ? 'Leads its own' : `Of process ${process.sessionId}`}
        </Fact>
      )}
      {process.ownNamespaces === null || process.ownNamespaces.length === 0 ? null : (
        <Fact name="Apart from the host">
          {process.ownNamespaces.map((name) => NAMESPACES[name]).join(', ')} namespace
        </Fact>
      )}
      <Fact name="Says of itself">
        {process.claims.length === 0 ? (
          <span className="soft">Nothing</span>
        ) : (
          process.claims.map((claim) => (
            <span key={claim.name} className="claim">
              <Untrusted text={`${claim.name}=${claim.value}`} maxChars={64} mono />
            </span>
          ))
        )}
      </Fact>
      <Fact name="GPU time">
        {formatGpuHours(process.activeMs, 2)} GPU-h active, {formatGpuHours(process.residentMs, 2)} GPU-h
        resident
        {process.devices.length > 1 ? ` on ${process.devices.length} devices` : ''}
      </Fact>
      {process.unreadable.length > 0 ? (
        <Fact name="Could not be read">
          {process.unreadable.map((part) => (
            <span key={part} className="claim">
              <Untrusted text={part} maxChars={80} />
            </span>
          ))}
        </Fact>
      ) : null}
      <Fact name="Identity">
        <Untrusted text={process.id} maxChars={80} mono />
      </Fact>
    </dl>
  );
}
