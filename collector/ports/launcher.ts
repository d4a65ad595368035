/**
 * A shell that stays, and starts programs for the agent one after another. Starting one from the agent itself copies the
 * tables of all its memory, and each page that the agent writes afterwards costs it a fault; a shell has next to none.
 *
 * A call is one line on the shell's standard input; its answer ends with a line on the standard output that no program
 * knows. What stands on the other output by then is the answer's too. A call that lasts too long or says too much ends
 * the shell with all that it started; the next call starts another. Where the shell cannot tell what happened, and
 * while it is busy, `direct` starts the program.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import type { Execute, Executed } from '../ports.ts';
import { cleanEnvironment, KILL_WAIT_MS, killGroup, MAX_STUCK, stuckCalls } from './execute.ts';

const SHELL = '/bin/sh';
/** What lists of processes show behind the shell's name. */
const TITLE = 'starts-programs-for-gpuledger-agent';
/** The shell's own codes for what it could not start; a program may end with them too. */
const NOT_STARTED: readonly (number | null)[] = [126, 127];
/** A shell adds the number of the signal. 255 is an exit code of nvidia-smi. */
const SIGNALLED = 128;
const SIGNALS = 64;
/** A mark is 16 random bytes in hexadecimal; its line ends an answer, with the exit code. At most so long. */
const MARK_BYTES = '\n'.length + 32 + ' 255\n'.length;

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

type Failure = Executed['failure'];

/** What a call has said on its standard output, up to the shell's mark. */
class Output {
  readonly #chunks: Buffer[] = [];
  /** Without the mark, once that is there. */
  bytes = 0;
  exitCode: number | null = null;
  #tail: Buffer = Buffer.alloc(0);

  /** false: something is said behind the mark, by whoever the program left behind. */
  add(chunk: Buffer, mark: RegExp, word: string): boolean {
    this.#chunks.push(chunk);
    const from = this.bytes - this.#tail.length;
    this.bytes += chunk.length;
    const recent = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    this.#tail = recent.subarray(-MARK_BYTES);
    const at = recent.lastIndexOf(word, undefined, 'latin1');
    if (at < 1) return true;
    const end = mark.exec(recent.subarray(at - 1, at - 1 + MARK_BYTES).toString('latin1'));
    if (end === null) return true;
    this.bytes = from + at - 1;
    this.exitCode = Number(end[1]);
    return at - 1 + end[0].length === recent.length;
  }

  text(maxBytes: number): Buffer {
    return Buffer.concat(this.#chunks).subarray(0, Math.min(this.bytes, maxBytes));
  }
}

interface Call {
  readonly stdout: Output;
  readonly stderr: Buffer[];
  stderrBytes: number;
  readonly maxOutputBytes: number;
  failure: Failure;
  /** Somebody else spoke behind the answer. */
  strangers: boolean;
  /** With an exit code only where the program came to its end. */
  readonly finish: (exitCode: number | null) => void;
}

class Shell {
  readonly #child: ChildProcess;
  readonly #pid: number;
  readonly #kill: (child: ChildProcess) => void;
  readonly #mark = randomBytes(16).toString('hex');
  readonly #end = new RegExp(`^\\n${this.#mark} (\\d{1,3})\\n`);
  #call: Call | null = null;
  #leaving: NodeJS.Timeout | undefined;
  /** Not to be used again. */
  over = false;

  constructor(child: ChildProcess, pid: number, kill: (child: ChildProcess) => void) {
    this.#child = child;
    this.#pid = pid;
    this.#kill = kill;
    // It keeps nobody from ending: the clock of a call does.
    child.unref();
    for (const stream of this.#streams()) stream.on('error', () => undefined).unref();
    child.stdout?.on('data', (chunk: Buffer) => this.#take('stdout', chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.#take('stderr', chunk));
    // One that ends by itself could not start another process: nobody killed anything.
    child.on('exit', (_, signal) => this.leave(signal === null ? 'failed' : 'killed'));
  }

  call(command: string, maxOutputBytes: number): Promise<Omit<Executed, 'durationMs'>> {
    return new Promise((resolve) => {
      const stdout = new Output();
      const stderr: Buffer[] = [];
      const call: Call = {
        ...{ stdout, stderr, stderrBytes: 0, maxOutputBytes, failure: null, strangers: false },
        finish: (exitCode) => {
          this.#call = null;
          const said = {
            stdout: stdout.text(maxOutputBytes),
            stderr: Buffer.concat(stderr).subarray(0, maxOutputBytes),
          };
          resolve({ ...said, exitCode, failure: call.failure });
        },
      };
      this.#call = call;
      const end = `printf '\\n${this.#mark} %d\\n' $?`;
      this.#child.stdin?.write(`hash -r; ${command} </dev/null; ${end}\n`);
    });
  }

  /** The call that is under way fails for this reason, and is answered by `leave`. */
  fail(failure: Failure): void {
    if (this.#call === null || this.#call.failure !== null) return;
    this.#call.failure = failure;
    this.over = true;
    this.#kill(this.#child);
    this.#leaving = setTimeout(() => this.leave('timeout'), KILL_WAIT_MS);
  }

  /** Whether anything that it started, or itself, is still there. */
  isThere(): boolean {
    try {
      process.kill(-this.#pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  /** Lets go of it, whatever still runs there. */
  leave(failure: Failure): void {
    this.over = true;
    clearTimeout(this.#leaving);
    for (const stream of this.#streams()) stream.destroy();
    if (this.#call === null) return;
    this.#call.failure ??= failure;
    this.#call.finish(null);
  }

  #take(name: 'stdout' | 'stderr', chunk: Buffer): void {
    const call = this.#call;
    if (call === null) this.#giveUp();
    if (call === null || call.failure !== null) return;
    const { stdout, stderr, maxOutputBytes } = call;
    const ended = stdout.exitCode !== null;
    if (name === 'stderr') {
      stderr.push(chunk);
      call.stderrBytes += chunk.length;
    } else if (ended || !stdout.add(chunk, this.#end, this.#mark)) call.strangers = true;
    const marked = stdout.exitCode !== null;
    if (stdout.bytes + call.stderrBytes > maxOutputBytes + (marked ? 0 : MARK_BYTES))
      this.fail('output_limit');
    // What the program said on the other output waits there by now: it is read in the next round of events at the latest.
    else if (marked && !ended) setImmediate(() => setImmediate(() => this.#conclude(call)));
  }

  #conclude(call: Call): void {
    if (this.#call !== call || call.failure !== null) return;
    const code = call.stdout.exitCode ?? 0;
    const signalled = code > SIGNALLED && code <= SIGNALLED + SIGNALS;
    if (signalled) call.failure = 'killed';
    if (call.strangers) this.#giveUp();
    call.finish(signalled ? null : code);
  }

  /** Something that a call left behind speaks: nobody could tell whose answer it is in. */
  #giveUp(): void {
    if (!this.over) this.#child.stdin?.end();
    this.over = true;
  }

  #streams(): Socket[] {
    const { stdin, stdout, stderr } = this.#child;
    return [stdin, stdout, stderr].filter((stream) => stream instanceof Socket);
  }
}

/** `kill` ends a shell with its process group; it may fail to. */
export function createLauncher(direct: Execute, kill: (child: ChildProcess) => void = killGroup): Execute {
  let shell: Shell | null = null;
  let busy = false;
  /** Ended, and something of theirs is still there. */
  let left: Shell[] = [];

  function start(): Shell | null {
    try {
      const child = spawn(SHELL, ['-s', TITLE], { stdio: 'pipe', env: cleanEnvironment(), detached: true });
      child.on('error', () => undefined);
      return child.pid === undefined ? null : new Shell(child, child.pid, kill);
    } catch {
      // No memory or descriptors for it now: nor for the program, most likely, which will say so.
      return null;
    }
  }

  return async (file, args, { timeoutMs, maxOutputBytes }) => {
    const bounds = { timeoutMs, maxOutputBytes };
    left = left.filter((one) => one.isThere());
    if (left.length >= MAX_STUCK) return stuckCalls(left.length);
    if (busy) return direct(file, args, bounds);
    if (shell?.over !== false) shell = start();
    if (shell === null) return direct(file, args, bounds);
    busy = true;
    const asked = shell;
    const startedMs = performance.now();
    const timer = setTimeout(() => asked.fail('timeout'), timeoutMs);
    const answer = await asked.call([file, ...args].map(quoted).join(' '), maxOutputBytes);
    clearTimeout(timer);
    busy = false;
    if (answer.failure !== null) left.push(asked);
    // A code of the program's own, or it could not be started: a start of our own tells.
    const unclear =
      answer.failure === 'failed' || (answer.failure === null && NOT_STARTED.includes(answer.exitCode));
    if (unclear) return direct(file, args, bounds);
    return { ...answer, durationMs: performance.now() - startedMs };
  };
}
