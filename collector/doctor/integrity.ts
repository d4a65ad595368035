/** Can what is read be trusted: the tools, the files of the devices, and /proc itself? */
import { join } from 'node:path';
import type { Reading } from '../reading.ts';
import { MAX_DESCRIPTORS_OF_ONE, openDevices } from '../sources/device-files.ts';
import { coversOf } from '../sources/proc-view.ts';
import { createProcfs } from '../sources/procfs.ts';
import { parseToolState } from '../tool-state.ts';
import { Tools } from '../tools.ts';
import { type Check, found, listed, type Patient, readText } from './check.ts';
import { RIGHTS_REMEDY } from './rights.ts';

const STATE_BYTES = 256 * 1024;
const MAX_PROCESSES = 8192;
const DIGEST_CHARS = 12;

export function checkTools({ settings, ports }: Patient): Check {
  const { nvidiaSmi, procRoot, spoolFolder } = settings.agent;
  const tools = new Tools(
    ports.files,
    { nvidiaSmi, procRoot, architecture: process.arch },
    parseToolState(readState(ports.files, join(spoolFolder, 'tools.json'))),
  );
  const atMs = ports.clock.wallMs();
  tools.look(atMs, null);
  const doubts = tools.due(atMs).map(({ detail }) => detail);
  const files = tools.tools ?? [];
  if (!files.some(({ role }) => role === 'nvidia_smi'))
    return found('tools', 'unknown', `${nvidiaSmi} is not there, so its file cannot be looked at.`, null);
  const named = files.map(
    ({ path, ownerUid, sha256 }) =>
      `${path} (uid ${ownerUid}, SHA-256 ${sha256?.slice(0, DIGEST_CHARS) ?? 'not known'})`,
  );
  if (doubts.length > 0)
    return found(
      'tools',
      'warn',
      `What is read through ${listed(named)} may be what somebody else wants: ${doubts.join('; ')}.`,
      'Compare them with those of the package, give them and their folders to root alone, preload nothing, reload an upgraded driver.',
    );
  if (!files.some(({ role }) => role === 'libnvidia_ml'))
    return found(
      'tools',
      'unknown',
      `The GPUs are read through ${listed(named)}; which library that loads cannot be told: the dynamic linker knows no libnvidia-ml.so.1.`,
      'Make the folder of the driver known to the dynamic linker (ldconfig): LD_LIBRARY_PATH is not passed on to nvidia-smi.',
    );
  return found('tools', 'ok', `The GPUs are read through ${listed(named)}, which only root can change.`);
}

function readState(files: Patient['ports']['files'], path: string): string {
  try {
    return files.read(path, STATE_BYTES).bytes.toString('utf8');
  } catch {
    return '';
  }
}

/** `reading`: null where nvidia-smi gave none. */
export function checkDeviceFiles(patient: Patient, reading: Reading | null): Check {
  const { files } = patient.ports;
  const root = patient.settings.agent.procRoot;
  const known = new Set(
    reading?.devices.flatMap((one) => (one.ok ? one.processes.map(({ pid }) => pid) : [])) ?? [],
  );
  let looked = 0;
  let refused = 0;
  let cut = false;
  const holders: number[] = [];
  for (const pid of createProcfs(files, root).pids().slice(0, MAX_PROCESSES)) {
    const open = openDevices(files, root, pid);
    if (!open.ok && open.gone) continue;
    looked += 1;
    if (!open.ok) refused += 1;
    else if (open.value.minors.length > 0) holders.push(pid);
    cut ||= open.ok && open.value.cut;
  }
  const others = holders.filter((pid) => !known.has(pid));
  const names = others.map(
    (pid) => `${pid} (${readText(patient, `${root}/${pid}/comm`, 64)?.trim() ?? '?'})`,
  );
  const who =
    others.length === 0
      ? 'none that the driver does not name'
      : `${others.length} that the driver does not name: pid ${listed(names)}`;
  const more = cut ? `, of some only the first ${MAX_DESCRIPTORS_OF_ONE}` : '';
  const seen = `${holders.length} have a GPU open, ${who}`;
  if (refused === 0)
    return found(
      'device-files',
      'ok',
      `The descriptors of all ${looked} processes can be read${more}; ${seen}.`,
    );
  return found(
    'device-files',
    refused >= looked / 2 ? 'fail' : 'warn',
    `The descriptors of ${refused} of ${looked} processes cannot be read: a GPU that they have open is not seen. Of the others ${seen}.`,
    RIGHTS_REMEDY,
  );
}

export function checkCovers({ settings, ports }: Patient): Check {
  const covers = coversOf(ports.files, settings.agent.procRoot);
  if (covers.length === 0) return found('covers', 'ok', 'Nothing is mounted over the folder of a process.');
  const what = covers.map(({ type, point }) => `${type} over ${point}`);
  return found(
    'covers',
    'warn',
    `Something is mounted over the folders of processes, which hides them: ${listed(what)}.`,
    'Find out who mounted it: no ordinary program does; umount shows the processes again.',
  );
}
