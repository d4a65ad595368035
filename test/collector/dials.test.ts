/** Connections that are tried: the kernel's counters, of text and of a real network namespace. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { DialBook } from '../../collector/dials.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { type DialCounters, parseDialCounters, type SocketSource } from '../../collector/sources/sockets.ts';

const T = 1_700_001_000_000;
const parse = (text: string) => parseDialCounters(Buffer.from(text));

describe('the counters of a namespace', () => {
  it('are found by their names, wherever a kernel puts them', () => {
    const text = 'Ip: Forwarding\nIp: 1\nTcp: RtoMin AttemptFails New ActiveOpens\nTcp: 200 3 -1 17\n';
    expect(parse(text)).toEqual({ attempts: 17, failed: 3 });
  });

  it.each([
    '',
    'Tcp: ActiveOpens AttemptFails\n',
    'Tcp: ActiveOpens\nTcp: 5\n',
    'Tcp: ActiveOpens AttemptFails\nTcp: 5 -1\n',
  ])('are not made up from %j', (text) => {
    expect(parse(text)).toBeNull();
  });
});

describe('what is told of attempts', () => {
  const told: string[] = [];
  let counters: DialCounters;
  const source: SocketSource = {
    namespace: (pid) => ({ ok: true, value: `net:[${pid < 100 ? 1 : 2}]` }),
    dials: () => ({ ok: true, value: counters }),
    table: () => ({ ok: true, value: [] }),
    held: () => ({ ok: true, value: { inodes: [], looked: 0, complete: true } }),
  };
  const looks = (book: DialBook, pids: number[], atMs: number) =>
    book.look(
      pids,
      atMs,
      (pid) => `${pid}/1`,
      (message) => told.push(message),
    );

  it('is the difference of two looks a minute apart, once for each namespace', () => {
    const book = new DialBook(source);
    counters = { attempts: 1000, failed: 10 };
    expect(looks(book, [7, 8], T)).toEqual([]);
    counters = { attempts: 1030, failed: 12 };
    expect(looks(book, [7, 8], T + 59_000)).toEqual([]);
    expect(looks(book, [8, 7, 100], T + 61_000)).toEqual([
      { process: '8/1', netNamespace: 1, attempts: 30, failed: 2, fromMs: T, toMs: T + 61_000 },
    ]);
    expect(looks(book, [8, 100], T + 122_000)).toEqual([]);
    expect(told).toEqual([]);
  });

  it('is nothing when the clock went back, or the counters are those of another namespace', () => {
    const book = new DialBook(source);
    counters = { attempts: 1000, failed: 10 };
    looks(book, [7], T);
    counters = { attempts: 1001, failed: 10 };
    expect(looks(book, [7], T - 3_600_000)).toEqual([]);
    counters = { attempts: 5, failed: 0 };
    expect(looks(book, [7], T + 60_000)).toEqual([]);
    counters = { attempts: 6, failed: 0 };
    expect(looks(book, [7], T + 120_000)).toMatchObject([{ attempts: 1 }]);
  });
});

/** Tries as often as it is told, and says what its kernel has counted: two numbers a line. */
const DIALLER = `import socket
def counted():
  names, values = [line.split() for line in open("/proc/self/net/snmp") if line.startswith("Tcp:")]
  print(values[names.index("ActiveOpens")], values[names.index("AttemptFails")], flush=True)
counted()
while True:
  for _ in range(int(input())):
    try: socket.create_connection(("127.0.0.1", 9), 60)
    except OSError: pass
  counted()`;

it.runIf(process.getuid?.() === 0)(
  'a real namespace tells of what its processes tried in vain',
  async () => {
    const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; exec python3 -c "$0"', DIALLER]);
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const counted = async (): Promise<number[]> => {
        const { value } = await lines.next();
        return String(value).split(' ').map(Number);
      };
      const [opensBefore = Number.NaN, failedBefore = Number.NaN] = await counted();
      const pid = child.pid ?? 0;
      const netNamespace = Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0]);
      const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
      // Where this very test runs in a job, that job's other processes are looked at too.
      const looked = (atMs: number) =>
        table.readConnections(atMs).dials.filter((dial) => dial.netNamespace === netNamespace);
      const key = table.observe([pid], T).get(pid);
      expect(looked(T)).toEqual([]);
      child.stdin.write('7\n');
      const [opens = Number.NaN, failed = Number.NaN] = await counted();
      expect(opens - opensBefore).toBeGreaterThanOrEqual(7);
      table.observe([pid], T + 60_000);
      const tried = { attempts: opens - opensBefore, failed: failed - failedBefore };
      expect(looked(T + 60_000)).toEqual([
        { process: key, netNamespace, ...tried, fromMs: T, toMs: T + 60_000 },
      ]);
    } finally {
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
  },
  120_000,
);
