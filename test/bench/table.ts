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

/** CPU of the main thread where it does one thing, or of all other threads; the means of a time at the agent's pace. */
interface Part {
  readonly name: string;
  /** It comes at a slower pace than the poll, and looks at more than GPU processes and their lineage. */
  readonly sweep: boolean;
  readonly microsPerPoll: number;
}

/** CPU of the /proc part of a poll. */
interface Observation {
  readonly pids: number;
  /** Back to back, between two times of reading everything again. */
  readonly warmMicros: number;
  /** Of the first, which takes everything in. */
  readonly firstMicros: number;
  /** After a rest, as in an agent; the mean has in it what is read again each half-minute. */
  readonly medianMicros: number;
  readonly meanMicros: number;
}

export interface Result {
  /** Unless `inJobs`, control groups cannot be made here, and all processes may count as members of one job. */
  readonly load: LoadSize & { readonly inJobs: boolean };
  readonly pollMs: number;
  readonly measuredMs: number;
  readonly agent: Cost;
  /** Shares of one core, in percent. */
  readonly percentOfCore: {
    /** Everything but the sweeps: an agent that makes none. */
    readonly gpuProcesses: number;
    /** The agent with everything that it does, its hourly look at the machine included. */
    readonly withSweeps: number;
    readonly hourlyInventory: number;
    /** Says nothing about the real one. */
    readonly standInNvidiaSmi: number;
  };
  /** Of the agent's code in another process that counts itself. */
  readonly parts: readonly Part[];
  readonly processes: { readonly eight: Observation; readonly all: Observation };
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
  /** null: it is not installed. */
  readonly nodeExporter: Cost | null;
  readonly systemInformation: Cost;
}

const GOALS = { gpuProcessesPercent: 0.2, withSweepsPercent: 1, rssMib: 64, eightPidsMicros: 100 } as const;
const MIB = 1024 * 1024;

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(1);
const compact = { head: [], border: [], compact: true };

export function showTable(result: Result): string {
  const { load, parts, processes, bytes } = result;
  const partsTable = new Table({ head: ['of the agent', 'CPU a poll', 'of a core', 'pace'], style: compact });
  for (const { name, sweep, microsPerPoll } of parts)
    partsTable.push([
      name,
      `${microsPerPoll} µs`,
      `${(microsPerPoll / result.pollMs / 10).toFixed(3)} %`,
      sweep ? 'slower' : 'poll',
    ]);
  const { hourlyInventory, standInNvidiaSmi } = result.percentOfCore;
  partsTable.push(['describing the machine (a child)', '', `${hourlyInventory.toFixed(3)} %`, 'hour']);
  partsTable.push(['a stand-in for nvidia-smi (children)', '', `${standInNvidiaSmi.toFixed(3)} %`, 'poll']);
  const jobs = load.inJobs ? 'in the control groups of 2 jobs' : 'with all the others in one control group';
  return [
    `${load.gpus} GPUs, ${load.gpuProcesses} GPU processes ${jobs}, ${load.otherProcesses} others; a poll each ${result.pollMs / 1000} s`,
    costsTable(result),
    partsTable.toString(),
    goalsTable(result),
    ...[processes.eight, processes.all].map(
      (one) =>
        `/proc of ${one.pids} GPU processes and their lineage: ${one.warmMicros} µs of CPU back to back, ${one.medianMicros} µs after a ` +
        `rest, ${one.meanMicros} µs with what is read again each half-minute`,
    ),
    `a GPU-hour: ${bytes.wirePerGpuHour} bytes on the wire, ${bytes.spoolPerGpuHour} through the spool, ` +
      `${bytes.diskWritesPerGpuHour} written to disk; ${Math.round(bytes.requestsPerHour)} requests an hour`,
    '',
  ].join('\n');
}

function costsTable({ agent, bareNode, nodeExporter, systemInformation }: Result): string {
  const costs = new Table({
    head: ['', 'CPU a poll, own', 'children', 'of a core, own', 'RSS MiB', 'PSS', 'anonymous'],
    style: compact,
  });
  for (const cost of [agent, bareNode, nodeExporter, systemInformation])
    costs.push(
      cost === null
        ? ['prometheus-node-exporter', 'apt-get install prometheus-node-exporter', '', '', '', '', '']
        : [
            cost.name,
            `${cost.ownMsPerPoll.toFixed(2)} ms`,
            `${cost.childrenMsPerPoll.toFixed(2)} ms`,
            `${cost.ownPercentOfCore.toFixed(3)} %`,
            ...[cost.rssBytes, cost.pssBytes, cost.anonymousBytes].map(mebibytes),
          ],
    );
  return costs.toString();
}

function goalsTable({ percentOfCore, agent, processes: { eight } }: Result): string {
  const goals = new Table({ head: ['', 'measured', 'goal', ''], style: compact });
  const goal = (what: string, value: number, most: number, unit: string): number =>
    goals.push([
      what,
      `${Number(value.toPrecision(3))} ${unit}`,
      `≤ ${most} ${unit}`,
      value <= most ? 'met' : 'missed',
    ]);
  goal('of a core, GPU processes and lineage', percentOfCore.gpuProcesses, GOALS.gpuProcessesPercent, '%');
  goal('of a core, with all sweeps', percentOfCore.withSweeps, GOALS.withSweepsPercent, '%');
  goal('resident memory', agent.rssBytes / MIB, GOALS.rssMib, 'MiB');
  goal(`/proc of ${eight.pids} pids, back to back`, eight.warmMicros, GOALS.eightPidsMicros, 'µs');
  goal(`/proc of ${eight.pids} pids, after a rest`, eight.medianMicros, GOALS.eightPidsMicros, 'µs');
  return goals.toString();
}
