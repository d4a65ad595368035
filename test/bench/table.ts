/** The result of `bench:agent`, and the table of it for people. */
import Table from 'cli-table3';
import type { LoadSize } from './node-load.ts';
import type { Memory } from './usage.ts';

/** One program, per poll of the default pace. Own: all its threads; children: what it starts and waits for. */
export interface Cost extends Memory {
  readonly name: string;
  readonly ownMsPerPoll: number;
  readonly childrenMsPerPoll: number;
  readonly ownPercentOfCore: number;
}

/** Of CPU; the mean has in it what is read again each half-minute. */
interface Part {
  /** Of the first, which takes everything in. */
  readonly firstMicros: number;
  readonly meanMicros: number;
  readonly medianMicros: number;
}

interface Observation extends Part {
  readonly pids: number;
  /** Back to back, between two times of reading everything again. */
  readonly warmMicros: number;
}

export interface Result {
  readonly load: LoadSize;
  readonly pollMs: number;
  readonly measuredMs: number;
  readonly agent: Cost;
  /** The agent's share less what its sweeps of all processes and sockets take by `parts.sweep`. */
  readonly withoutSweepsPercentOfCore: number;
  readonly sweepPercentOfCore: number;
  /** On the agent's code in a process of its own: /proc of eight and of all GPU processes, and one sweep. */
  readonly parts: {
    readonly eight: Observation;
    readonly all: Observation;
    readonly sweep: Part & { readonly everyMs: number };
  };
  readonly bytes: {
    /** Both ways, with headers. */
    readonly wirePerGpuHour: number;
    /** Batches in the spool, each of which leaves it when the service has it. */
    readonly spoolPerGpuHour: number;
    /** As the kernel counts them, in whole pages: files, their replacements and folders. */
    readonly diskWritesPerGpuHour: number;
    readonly requestsPerHour: number;
  };
  readonly bareNode: Cost;
  /** null: it is not installed and cannot be. */
  readonly nodeExporter: Cost | null;
  readonly systemInformation: Cost;
}

const GOALS = { withoutSweepsPercent: 0.2, withSweepsPercent: 1, rssMib: 64, eightPidsMicros: 100 } as const;
const MIB = 1024 * 1024;

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(1);
const compact = { head: [], border: [], compact: true };

export function showTable(result: Result): string {
  const { agent, bareNode, nodeExporter, systemInformation, parts, bytes, load } = result;
  const costs = new Table({
    head: ['', 'CPU a poll, own', 'children', 'of a core, own', 'RSS MiB', 'PSS', 'anonymous'],
    style: compact,
  });
  for (const cost of [agent, bareNode, nodeExporter, systemInformation])
    costs.push(
      cost === null
        ? ['prometheus-node-exporter', 'absent', '', '', '', '', '']
        : [
            cost.name,
            `${cost.ownMsPerPoll.toFixed(2)} ms`,
            `${cost.childrenMsPerPoll.toFixed(2)} ms`,
            `${cost.ownPercentOfCore.toFixed(3)} %`,
            ...[cost.rssBytes, cost.pssBytes, cost.anonymousBytes].map(mebibytes),
          ],
    );
  const goals = new Table({ head: ['', 'measured', 'goal', ''], style: compact });
  const goal = (what: string, value: number, most: number, unit: string): number =>
    goals.push([
      what,
      `${Number(value.toPrecision(3))} ${unit}`,
      `≤ ${most} ${unit}`,
      value <= most ? 'met' : 'missed',
    ]);
  goal('of a core, without sweeps', result.withoutSweepsPercentOfCore, GOALS.withoutSweepsPercent, '%');
  goal('of a core, with sweeps', agent.ownPercentOfCore, GOALS.withSweepsPercent, '%');
  goal('resident memory', agent.rssBytes / MIB, GOALS.rssMib, 'MiB');
  goal(
    `/proc of ${parts.eight.pids} pids, back to back`,
    parts.eight.warmMicros,
    GOALS.eightPidsMicros,
    'µs',
  );
  return [
    `${load.gpus} GPUs, ${load.gpuProcesses} GPU processes, ${load.otherProcesses} others; a poll each ${result.pollMs / 1000} s`,
    costs.toString(),
    goals.toString(),
    ...[parts.eight, parts.all].map(
      (one) =>
        `/proc of ${one.pids} GPU processes and their lineage: ${one.warmMicros} µs of CPU back to back, ${one.medianMicros} µs after a ` +
        `rest, ${one.meanMicros} µs with what is read again each half-minute`,
    ),
    `a sweep of all processes and sockets: ${parts.sweep.meanMicros} µs each ${parts.sweep.everyMs / 1000} s`,
    `a GPU-hour: ${bytes.wirePerGpuHour} bytes on the wire, ${bytes.spoolPerGpuHour} through the spool, ` +
      `${bytes.diskWritesPerGpuHour} written to disk; ${Math.round(bytes.requestsPerHour)} requests an hour`,
    '',
  ].join('\n');
}
