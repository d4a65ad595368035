import type { JobMark } from '../contract/jobs.ts';
import type { Interval } from './interval.ts';

/** What a declaration says that its job will run. Empty lists and absent members say nothing. */
export interface JobDeclares {
  /** Paths of executables; `*` stands for any characters but `/`, `**` for any at all. These alone decide. */
  readonly executables: readonly string[];
  /** The process that starts the job, where the declarer knows it (`gpuledger run` does). */
  readonly root: JobRoot | null;
  /** Reference or digest of its container image. Kept as the record says it: no agent sees of which image a container is. */
  readonly image?: string;
  /** With what the command line of its root process begins, word by word. */
  readonly entrypoint?: readonly string[];
  /** What the redacted command line of a process on a device looks like; `*` stands for any characters. */
  readonly commandPattern?: string;
  /** Address ranges, or host:port, that it expects to reach. */
  readonly peers?: readonly string[];
  /** How many of its processes use one device at a time, at most. */
  readonly processesPerDevice?: number;
}

/** The job inside of which another one runs, as its source calls it. */
export interface OuterJob {
  readonly source: string;
  readonly externalId: string;
}

interface JobRoot {
  readonly node: string;
  readonly bootId: string;
  readonly pid: number;
  readonly startTicks: number;
}

/**
 * What a job was given: named devices of a node, `count` devices of it (placed by `bindNode`), or, with both null, the
 * whole node. `toMs` null: until the job ends.
 */
export interface Allocation {
  readonly node: string;
  /** Device UUIDs. Empty where only `indices` name them and no inventory has been asked: nothing is held. */
  readonly devices: readonly string[] | null;
  /** The minor numbers of the devices on the node, where it was declared by them; see `withDevices`. */
  readonly indices?: readonly number[];
  readonly count: number | null;
  readonly fromMs: number;
  readonly toMs: number | null;
  /** Share of each device in thousandths, for devices that jobs share by declaration; 1000 is all of it. */
  readonly shareMilli: number;
}

/** One job as its newest declaration (as known at some point) states it. */
export interface Job {
  /** `j_` and 16 hexadecimal digits of the SHA-256 of cluster, source, instance, external id and incarnation. */
  readonly id: string;
  readonly cluster: string;
  /** slurm, kubernetes, ray, docker, systemd, api, run, … */
  readonly source: string;
  readonly sourceInstance: string;
  readonly externalId: string;
  readonly incarnation: number;
  readonly name: string;
  readonly account: string;
  readonly user: string | null;
  readonly uid: number | null;
  readonly startMs: number;
  readonly endMs: number | null;
  readonly allocations: readonly Allocation[];
  /** Kernel boundaries that belong to this job, as `cgroupOwner` spells them: `slurm:8101`, `kubernetes:<pod uid>`. */
  readonly boundaries: readonly string[];
  readonly declares: JobDeclares;
  /** It runs inside of this one; absent: not said, see `isInside`. */
  readonly within?: OuterJob;
  /** What its scheduler says of it beside, by name: partition, qos, namespace … A record only; absent: nothing. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** When the first and this version were recorded. */
  readonly firstRecordedAtMs: number;
  readonly recordedAtMs: number;
  readonly version: number;
  /** True where nobody but the declarer vouches for the times (API and `run`); false for a scheduler's record. */
  readonly selfDeclared: boolean;
  /** What is worth knowing of this version as evidence; absent: nothing. */
  readonly marks?: readonly JobMark[];
  /** Who recorded this version. Absent where a job does not come from a store. */
  readonly recordedBy?: string;
  /** Of a self-declared job: the versions before this one, ascending, each for the time that it counts for. */
  readonly earlier?: readonly Job[];
}

/** That a job holds a device for a time; the result of placing its allocations on a node. */
export interface Holding extends Interval {
  readonly job: string;
  readonly device: string;
  readonly shareMilli: number;
  /** True where the device was chosen by rule, since nothing showed which one it was. */
  readonly assumed: boolean;
}
