/** Can batches be kept, is there room for them, is their chain whole, and who uses the folder? */
import { dirname, join, resolve } from 'node:path';
import { headAfter } from '../batch.ts';
import { publicKeyIn } from '../signer.ts';
import {
  batchFileName,
  isStreamName,
  listFolder,
  messageOf,
  readBatchFile,
  readHead,
  seqOfFile,
} from '../spool-files.ts';
import { type Check, found, type Patient } from './check.ts';

const MIB = 1024 * 1024;
/** Batches whose content is checked, the oldest; the numbers of all are. */
const MAX_CHECKED = 1000;
const MAX_PARENTS = 64;
const FULL_PERCENT = 80;
const WRITABLE_BY_OTHERS = 0o022;

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`;

export function checkSpool(patient: Patient): Check[] {
  return [checkFolder(patient), checkChain(patient), checkKey(patient), checkLock(patient)];
}

/** The folder, or the nearest one above it that exists: the agent makes the rest. */
function nearest(patient: Patient, folder: string): string {
  let path = resolve(folder);
  for (let steps = 0; steps < MAX_PARENTS && dirname(path) !== path; steps += 1) {
    try {
      patient.ports.files.list(path);
      return path;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return path;
    }
    path = dirname(path);
  }
  return path;
}

interface Waiting {
  readonly seqs: readonly number[];
  readonly bytes: number;
}

function waitingIn({ settings, ports }: Patient, stream: string): Waiting {
  const folder = join(settings.agent.spoolFolder, stream);
  const seqs: number[] = [];
  let bytes = 0;
  for (const name of listFolder(ports.files, folder)) {
    const seq = seqOfFile(name);
    if (seq === null) continue;
    try {
      bytes += ports.files.sizeBytes(join(folder, name));
      seqs.push(seq);
    } catch {
      // Sent meanwhile by the agent that runs.
    }
  }
  return { seqs, bytes };
}

function checkFolder(patient: Patient): Check {
  const { settings, probe, ports } = patient;
  const { spoolFolder, spoolMaxBytes } = settings.agent;
  const existing = nearest(patient, spoolFolder);
  try {
    probe.checkWritable(existing);
    const freeBytes = probe.freeBytes(existing);
    const names = existing === resolve(spoolFolder) ? listFolder(ports.files, existing) : [];
    const bytes = names.filter(isStreamName).reduce((sum, name) => sum + waitingIn(patient, name).bytes, 0);
    const room = `${mebibytes(bytes)} of ${mebibytes(spoolMaxBytes)} wait in ${spoolFolder}, ${mebibytes(freeBytes)} are free on its disk`;
    if (freeBytes < MIB)
      return found(
        'spool',
        'fail',
        `${room}: it is full, and what is seen is lost.`,
        'Make room on the disk.',
      );
    if (existing === resolve(spoolFolder) && (probe.mode(existing) & WRITABLE_BY_OTHERS) !== 0)
      return found(
        'spool',
        'warn',
        `${spoolFolder} can be written by others than its owner: what waits there, and what the agent remembers, may be theirs.`,
        `Take that right away (chmod 700 ${spoolFolder}), or name a folder of the agent's own with --spool.`,
      );
    if (bytes * 100 >= spoolMaxBytes * FULL_PERCENT)
      return found(
        'spool',
        'warn',
        `${room}: when the bound is reached, time counts as not measured.`,
        'See why the service takes no batches, or raise --spool-mib.',
      );
    if (freeBytes < spoolMaxBytes - bytes)
      return found(
        'spool',
        'warn',
        `${room}, which is less than the bound allows.`,
        'Make room on the disk, or lower --spool-mib.',
      );
    return found('spool', 'ok', `${room}.`);
  } catch (error) {
    return found(
      'spool',
      'fail',
      `This account (uid ${probe.uid}) cannot keep batches in ${spoolFolder}: ${messageOf(error)}.`,
      'Name a folder that the agent may write, on a disk that keeps it, with --spool.',
    );
  }
}

function checkChain(patient: Patient): Check {
  const { files } = patient.ports;
  const { spoolFolder } = patient.settings.agent;
  const head = readHead(files, join(spoolFolder, 'stream.json'));
  if (head === 'absent')
    return found('chain', 'ok', 'No stream has begun: the first run of the agent begins one.');
  const remedy =
    'The agent goes on in a new stream by itself and reports what is lost; look who or what touches the folder.';
  if (head === 'damaged')
    return found('chain', 'fail', 'stream.json cannot be read or understood: the chain is broken.', remedy);
  try {
    const { seqs } = waitingIn(patient, head.stream);
    const gap = seqs.find((seq, index) => index > 0 && seq !== (seqs[index - 1] ?? 0) + 1);
    if (gap !== undefined)
      return found('chain', 'fail', `Batches before number ${gap} are missing from the spool.`, remedy);
    const damaged = firstDamaged(patient, head.stream, seqs);
    if (damaged !== null)
      return found('chain', 'fail', `Batch ${damaged} is damaged or does not follow the one before.`, remedy);
    const aside = listFolder(files, join(spoolFolder, 'corrupt')).length;
    if (aside > 0)
      return found(
        'chain',
        'warn',
        `The chain is whole, but ${aside} damaged batches were set aside in ${join(spoolFolder, 'corrupt')}.`,
        'Look at them and at the disk, then remove them.',
      );
    return found('chain', 'ok', `Stream ${head.stream} is whole; ${seqs.length} batches wait to be sent.`);
  } catch (error) {
    return found(
      'chain',
      'unknown',
      `The spool cannot be read: ${messageOf(error)}.`,
      'Run the doctor as the account of the agent.',
    );
  }
}

/** The number of the first batch that is not what was written, or does not follow; null: none, as far as was read. */
function firstDamaged({ settings, ports }: Patient, stream: string, seqs: readonly number[]): number | null {
  const { files } = ports;
  let lastHash: string | null = null;
  for (const seq of seqs.slice(0, MAX_CHECKED)) {
    const path = join(settings.agent.spoolFolder, stream, batchFileName(seq));
    const read = readBatchFile(files, path);
    if (read === null) {
      try {
        files.sizeBytes(path);
      } catch {
        // Sent meanwhile.
        lastHash = null;
        continue;
      }
      return seq;
    }
    const { body } = read.batch;
    const follows = lastHash === null || body.previousHash === lastHash;
    if (body.seq !== seq || body.stream !== stream || !follows) return seq;
    lastHash = headAfter(read.batch).lastHash;
  }
  return null;
}

function checkKey({ settings, ports }: Patient): Check {
  const { spoolFolder } = settings.agent;
  try {
    const key = publicKeyIn(ports.files, spoolFolder);
    if (key === null)
      return found('key', 'ok', 'The node has no key yet: the first run of the agent makes one.');
    if (key === 'damaged')
      return found(
        'key',
        'fail',
        `${join(spoolFolder, 'key.pem')} is damaged: the agent will make another one, which the service tells as new.`,
        'Put the key back from a backup, or accept the new one: gpuledger fleet accept-key.',
      );
    return found('key', 'ok', `The node signs by ${key}; gpuledger fleet keys must list the same.`);
  } catch (error) {
    return found(
      'key',
      'unknown',
      `The key of the node cannot be read: ${messageOf(error)}.`,
      'Run the doctor as the account of the agent.',
    );
  }
}

function checkLock({ settings, lockOwner }: Patient): Check {
  const owner = lockOwner(settings.agent.spoolFolder);
  if (owner === null) return found('agent', 'ok', 'No agent uses this spool now.');
  if (owner.alive) return found('agent', 'ok', `An agent runs on this spool, as pid ${owner.pid}.`);
  return found(
    'agent',
    'warn',
    `agent.lock names pid ${owner.pid}, which is gone: that agent was killed and nothing measures now.`,
    'Start the agent; it takes the spool over. Restart=always in its unit does that by itself.',
  );
}
