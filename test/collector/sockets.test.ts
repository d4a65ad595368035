import { connect, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ConnectionFact } from '../../api/contract/batch.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable, type ProcessTable, type Reported } from '../../collector/processes.ts';
import {
  createPeerClassifier,
  endpointText,
  INTERNAL_RANGES,
  parseEndpoint,
  parseSocketTable,
} from '../../collector/sources/sockets.ts';
import { ProcFixture } from './proc-fixture.ts';

const HEADER =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const LISTEN = '0A';
const ESTABLISHED = '01';
const ATTEMPT = '02';
const ANY = '00000000:0000';

/** "127.0.0.1:80" as the kernel writes it. */
function hex(endpoint: string): string {
  const [address = '', port = ''] = endpoint.split(':');
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return `${bytes.reverse().join('')}:${Number(port).toString(16).padStart(4, '0')}`.toUpperCase();
}
const row = (local: string, peer: string, state: string, inode: number): string =>
  `   0: ${local} ${peer} ${state} 00000000:00000000 00:00000000 00000000  2001        0 ${inode} 1 0000000000000000 20 4 30 10 -1\n`;

describe('socket tables', () => {
  it('are read with addresses in the order of the machine', () => {
    expect(parseEndpoint('0100007F:1F90')).toEqual({ address: '127.0.0.1', port: 8080 });
    expect(parseEndpoint(hex('198.51.100.7:22'))).toEqual({ address: '198.51.100.7', port: 22 });
    expect(parseEndpoint('00000000000000000000000001000000:0016')).toEqual({ address: '::1', port: 22 });
    expect(parseEndpoint('B80D0120000000000000000001000000:0050')).toEqual({
      address: '2001:db8::1',
      port: 80,
    });
    expect(parseEndpoint('0000000000000000FFFF00000100007F:0050')).toEqual({
      address: '127.0.0.1',
      port: 80,
    });
    expect(parseEndpoint('nonsense')).toBeNull();
    expect(endpointText({ address: '2001:db8::1', port: 80 })).toBe('[2001:db8::1]:80');
  });

  it('give listeners, connections and attempts, and nothing without an owner', () => {
    const table =
      HEADER +
      row(hex('0.0.0.0:22'), ANY, LISTEN, 1) +
      row(hex('10.0.0.1:40000'), hex('198.51.100.7:22'), ESTABLISHED, 2) +
      row(hex('10.0.0.1:40001'), hex('10.20.0.3:6379'), ATTEMPT, 3) +
      row(hex('10.0.0.1:40002'), hex('10.20.0.3:6379'), '06', 0) +
      row(hex('10.0.0.1:40003'), hex('10.20.0.3:6379'), ESTABLISHED, 0) +
      'broken row 01\n';
    expect(parseSocketTable(Buffer.from(table)).map(({ kind, inode }) => [kind, inode])).toEqual([
      ['listening', '1'],
      ['established', '2'],
      ['attempt', '3'],
    ]);
  });

  it('never make the parser throw', () => {
    const field = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom('01', '0A', '0100007F:0050', '12345', ' '),
    );
    fc.assert(
      fc.property(fc.array(fc.array(field, { maxLength: 14 })), (lines) => {
        const text = lines.map((fields) => fields.join(' ')).join('\n');
        for (const found of parseSocketTable(Buffer.from(text)))
          expect(parseEndpoint(found.peer)).not.toBeNull();
      }),
    );
  });
});

describe('classes of peers', () => {
  it.each([
    ['127.0.0.53', 'loopback'],
    ['::1', 'loopback'],
    ['10.1.2.3', 'internal'],
    ['172.31.255.255', 'internal'],
    ['172.32.0.0', 'external'],
    ['192.168.1.1', 'internal'],
    ['169.254.169.254', 'internal'],
    ['100.64.0.1', 'internal'],
    ['100.128.0.1', 'external'],
    ['fd00::1', 'internal'],
    ['fe80::1', 'internal'],
    ['::ffff:10.0.0.1', 'internal'],
    ['0.0.0.0', 'internal'],
    ['198.51.100.7', 'external'],
    ['2001:db8::1', 'external'],
    ['no address', 'external'],
  ])('%s is %s', (address, expected) => {
    expect(createPeerClassifier(INTERNAL_RANGES)(address)).toBe(expected);
  });

  it('follow the ranges of the site, and refuse what is no range', () => {
    const classify = createPeerClassifier(['198.51.100.0/24', '2001:db8::/32']);
    expect(['198.51.100.7', '2001:db8::1', '10.0.0.1'].map(classify)).toEqual([
      'internal',
      'internal',
      'external',
    ]);
    expect(() => createPeerClassifier(['10.0.0.0/33'])).toThrow(/not a network/);
  });
});

const T = 1_700_001_000_000;
const short = ({ facts }: Reported<ConnectionFact>) =>
  facts.map(({ process, kind, peerClass, localPort, peers }) => [process, kind, peerClass, localPort, peers]);

describe('connections of a job', () => {
  let proc: ProcFixture;
  let table: ProcessTable;
  /** One namespace for all; sockets are [local, peer, state, pid]. */
  const sockets = (...rows: [string, string, string, number][]): void => {
    const texts = rows.map(([local, peer, state], index) => row(hex(local), hex(peer), state, index + 100));
    for (const pid of [30, 40, 50]) {
      proc.write(`${pid}/net/tcp`, HEADER + texts.join(''));
      proc.remove(`${pid}/fd`);
      proc.write(`${pid}/fd/none`, '');
    }
    rows.forEach(([, , , pid], index) => {
      proc.link(`${pid}/fd/${index + 3}`, `socket:[${index + 100}]`);
    });
  };

  beforeEach(() => {
    proc = new ProcFixture();
    proc.put({ pid: 1, parent: 0, comm: 'init', uid: 0 });
    proc.put({ pid: 30, cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n' });
    proc.put({
      pid: 40,
      comm: 'ssh',
      cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n',
    });
    proc.put({ pid: 50, comm: 'sshd', cgroup: '0::/system.slice/ssh.service\n' });
    table = createProcessTable({ files, clock }, { procRoot: proc.root, passwdPath: proc.passwd });
    table.observe([30], T);
    table.changedFacts();
  });
  afterEach(() => proc.destroy());

  it('show a tunnel beside the GPU process, with its lineage, and leave the rest of the node alone', () => {
    sockets(
      ['10.0.0.1:40000', '198.51.100.7:22', ESTABLISHED, 40],
      ['127.0.0.1:41000', '127.0.0.1:22', ESTABLISHED, 40],
      ['0.0.0.0:22', '0.0.0.0:0', LISTEN, 50],
      ['10.0.0.1:22', '203.0.113.9:50000', ESTABLISHED, 50],
    );
    const seen = table.readConnections(T);
    expect(short(seen)).toEqual([
      ['40/400', 'established', 'external', 40_000, 1],
      ['40/400', 'established', 'loopback', 41_000, 1],
    ]);
    expect(seen.personal.map((record) => record.value)).toEqual([
      { kind: 'connection', peers: ['198.51.100.7:22'] },
      { kind: 'connection', peers: ['127.0.0.1:22'] },
    ]);
    expect(seen.facts[0]?.personal).toBe(seen.personal[0]?.digest);
    expect(table.changedFacts().facts.map((fact) => [fact.key, fact.parent])).toEqual([['40/400', '1/10']]);
  });

  it('leave a neighbour out that talks to its own site only', () => {
    sockets(
      ['10.0.0.1:40000', '10.20.0.3:2049', ESTABLISHED, 40],
      ['10.0.0.1:40001', '10.20.0.3:2049', ESTABLISHED, 30],
    );
    expect(short(table.readConnections(T))).toEqual([['30/300', 'established', 'internal', 40_001, 1]]);
    expect(table.changedFacts().facts).toEqual([]);
  });

  it('fold a scan into one fact that counts its targets', () => {
    const scan = (from: number) =>
      Array.from({ length: 20 }, (_, index): [string, string, string, number] => [
        `10.0.0.1:${40_000 + from + index}`,
        `10.20.0.${from + index}:6379`,
        ATTEMPT,
        40,
      ]);
    sockets(...scan(0));
    const first = table.readConnections(T);
    expect(short(first)).toEqual([['40/400', 'attempt', 'internal', 0, 20]]);
    expect(first.personal[0]?.value.kind === 'connection' && first.personal[0].value.peers).toHaveLength(16);
    sockets(...scan(10));
    // Not more often than once a minute.
    expect(short(table.readConnections(T + 15_000))).toEqual([]);
    const next = table.readConnections(T + 60_000);
    expect(short(next)).toEqual([['40/400', 'attempt', 'internal', 0, 30]]);
    expect(next.facts[0]).toMatchObject({ firstMs: T, lastMs: T + 60_000 });
  });

  it('tell the end of a connection once, with the time when it was last seen', () => {
    sockets(['10.0.0.1:40000', '198.51.100.7:22', ESTABLISHED, 40]);
    expect(table.readConnections(T).facts).toHaveLength(1);
    expect(table.readConnections(T + 15_000).facts).toEqual([]);
    sockets();
    expect(table.readConnections(T + 30_000).facts).toEqual([]);
    expect(table.readConnections(T + 80_000).facts).toMatchObject([{ firstMs: T, lastMs: T + 15_000 }]);
    expect(table.readConnections(T + 200_000).facts).toEqual([]);
  });

  it('repeat what lasts once an hour', () => {
    sockets(['10.0.0.1:40000', '10.20.0.9:29500', ESTABLISHED, 30]);
    const hour = Math.ceil(T / 3_600_000) * 3_600_000;
    table.readConnections(hour - 15_000);
    expect(table.readConnections(hour).facts).toMatchObject([{ firstMs: hour - 15_000, lastMs: hour }]);
    expect(table.readConnections(hour + 600_000).facts).toEqual([]);
  });

  it('fold who came in at a listener, and what is more than sixteen connections', () => {
    const coming = Array.from({ length: 5 }, (_, index): [string, string, string, number] => [
      '10.0.0.1:8888',
      `203.0.113.9:${50_000 + index}`,
      ESTABLISHED,
      30,
    ]);
    const going = Array.from({ length: 20 }, (_, index): [string, string, string, number] => [
      `10.0.0.1:${40_000 + index}`,
      `10.20.0.${index}:443`,
      ESTABLISHED,
      30,
    ]);
    sockets(['0.0.0.0:8888', '0.0.0.0:0', LISTEN, 30], ...coming, ...going);
    const { facts } = table.readConnections(T);
    expect(facts.filter((fact) => fact.localPort === 8888).map(({ kind, peers }) => [kind, peers])).toEqual([
      ['listening', 0],
      ['established', 5],
    ]);
    const outgoing = facts.filter((fact) => fact.localPort !== 8888);
    expect(outgoing).toHaveLength(17);
    expect(outgoing.find((fact) => fact.localPort === 0)?.peers).toBe(4);
  });

  it('go by the session where no kernel boundary exists', () => {
    proc.put({ pid: 30, cgroup: '1:cpu:/\n0::/\n', session: 30 });
    proc.put({ pid: 40, cgroup: '1:cpu:/\n0::/\n', session: 30 });
    proc.put({ pid: 50, cgroup: '1:cpu:/\n0::/\n', session: 50 });
    sockets(
      ['10.0.0.1:40000', '198.51.100.7:22', ESTABLISHED, 40],
      ['10.0.0.1:40001', '198.51.100.7:22', ESTABLISHED, 50],
    );
    table.observe([30], T);
    expect(short(table.readConnections(T))).toEqual([['40/400', 'established', 'external', 40_000, 1]]);
  });

  it('say once that descriptors cannot be read', () => {
    sockets(['10.0.0.1:40000', '198.51.100.7:22', ESTABLISHED, 40]);
    proc.remove('30/fd');
    proc.write('30/fd', 'a file cannot be listed');
    table.readConnections(T);
    table.readConnections(T + 15_000);
    expect(table.takeProblems().map((problem) => problem.message)).toEqual([
      'descriptors of some processes: failed with ENOTDIR',
    ]);
  });
});

describe('real sockets', () => {
  const open: (Server | Socket)[] = [];
  afterEach(() => {
    for (const one of open.splice(0)) 'destroy' in one ? one.destroy() : one.close();
  });

  it('of this process: a listener on loopback, who came, and who went there', async () => {
    const server = createServer((socket) => open.push(socket));
    open.push(server);
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve(portOf(server)));
    });
    const client = connect(port, '127.0.0.1');
    open.push(client);
    await new Promise<void>((resolve) => client.once('connect', () => resolve()));
    await vi.waitFor(() => expect(open).toHaveLength(3));
    const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
    const key = table.observe([process.pid], Date.now()).get(process.pid);
    const { facts, personal } = table.readConnections(Date.now());
    const own = facts.filter(
      (fact) => fact.process === key && [port, client.localPort].includes(fact.localPort),
    );
    expect(
      own.map(({ kind, peerClass, localPort, peers }) => [kind, peerClass, localPort, peers]).sort(),
    ).toEqual(
      [
        ['established', 'loopback', port, 1],
        ['established', 'loopback', client.localPort, 1],
        ['listening', 'loopback', port, 0],
      ].sort(),
    );
    const went = own.find((fact) => fact.localPort === client.localPort);
    expect(personal.find((record) => record.digest === went?.personal)?.value).toEqual({
      kind: 'connection',
      peers: [`127.0.0.1:${port}`],
    });
  });
});

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
