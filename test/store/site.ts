/** A small site for tests: an agent's chain of batches, a clock that is set by hand, a store in a temporary folder. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../api/clock.ts';
import type {
  Batch,
  BatchBody,
  BatchRequest,
  DeviceFact,
  PersonalRecord,
  ProcessFact,
  Tenancy,
} from '../../api/contract/batch.ts';
import { CHAIN_START } from '../../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import type { Role } from '../../api/contract/primitives.ts';
import type { Caller } from '../../api/domain/caller.ts';

export const HOUR = 3_600_000;
export const MINUTE = 60_000;
/** 2026-10-05T08:00:00Z. */
export const START = Date.UTC(2026, 9, 5, 8);
export const BOOT = '5e0a7b1c-0000-4000-8000-000000000001';
export const CLUSTER = 'test';

export interface HandClock extends Clock {
  set(ms: number): void;
}

export function handClock(startMs: number): HandClock {
  let now = startMs;
  return { nowMs: () => now, set: (ms) => (now = ms) };
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'gpuledger-'));

export function caller(role: Role, more: Partial<Caller> = {}): Caller {
  return { name: role, role, node: null, accounts: null, ...more };
}

export const agentOf = (node: string): Caller => caller('agent', { node });

export const device = (node: string, index: number): DeviceFact => ({
  uuid: `GPU-${node}-${index}`,
  index,
  minor: index,
  busId: `00000000:0${index}:00.0`,
  model: 'NVIDIA H100 80GB HBM3',
  memoryBytes: 80 * 1024 ** 3,
  powerLimitMilliwatts: 700_000,
  migEnabled: false,
  slices: null,
  instances: [],
});

export function processFact(pid: number, more: Partial<ProcessFact> = {}): ProcessFact {
  const startTicks = pid * 100;
  return {
    key: `${pid}/${startTicks}`,
    pid,
    startTicks,
    startedMs: START - HOUR,
    parent: null,
    uid: 1000,
    loginUid: 1000,
    sessionId: null,
    namespaces: null,
    comm: 'python3',
    executable: {
      path: '/usr/bin/python3.11',
      device: '8:1',
      inode: '4711',
      deleted: false,
      fileSystem: null,
    },
    cgroup: '0::/user.slice',
    earlierCgroups: [],
    earlierExecutables: [],
    claims: [],
    argumentsDigest: null,
    unreadable: [],
    firstSeenMs: START,
    exitedMs: null,
    personal: null,
    ...more,
  };
}

/** One span of `lengthMs` in which `processes` share the active time equally (its length when they are there). */
export function tenancy(
  device: string,
  startMs: number,
  lengthMs: number,
  ...processes: ProcessFact[]
): Tenancy {
  const active = processes.length === 0 ? 0 : lengthMs;
  const part = Math.floor(active / Math.max(1, processes.length));
  return {
    device,
    tenants: processes.map((process) => ({
      process: process.key,
      type: 'C',
      memoryBytes: 1024,
      gpuInstance: null,
    })),
    startMs,
    lengthMs: [lengthMs],
    activeMs: [active],
    shareMs: processes.map((_, index) => [index === 0 ? active - part * (processes.length - 1) : part]),
    method: processes.length === 0 ? 'none' : processes.length === 1 ? 'sole' : 'equal',
    conflictMs: [],
    partition: [],
  };
}

export function personalOf(user: string, commandLine: string): PersonalRecord {
  const salt = sha256Hex(`${user} ${commandLine}`).slice(0, 32);
  const value: PersonalRecord['value'] = { kind: 'process', user, commandLine, commandLineCut: false };
  return { digest: sha256Hex(canonicalJson({ salt, value })), salt, value };
}

/** One installation of an agent: numbers and chains its batches. */
export class Stream {
  readonly node: string;
  readonly name: string;
  seq = 0;
  head = CHAIN_START;
  constructor(node: string, name = 'stream-1') {
    this.node = node;
    this.name = name;
  }

  batch(fromMs: number, toMs: number, more: Partial<BatchBody> = {}, personal: PersonalRecord[] = []): Batch {
    this.seq += 1;
    const body: BatchBody = {
      schema: 1,
      cluster: CLUSTER,
      node: this.node,
      stream: this.name,
      seq: this.seq,
      previousHash: this.head,
      bootId: BOOT,
      agentVersion: '0.1.0',
      driverVersion: '570.10',
      pollIntervalMs: 5_000,
      fromMs,
      toMs,
      inventory: null,
      processes: [],
      tenancies: [],
      gaps: [],
      connections: [],
      accounted: [],
      holders: [],
      dials: [],
      integrity: [],
      tools: null,
      host: null,
      clockSteps: [],
      problems: [],
      ...more,
    };
    this.head = sha256Hex(canonicalJson(body));
    return { body, hash: this.head, personal };
  }
}

export const post = (...batches: Batch[]): BatchRequest => ({ batches });
