/** Is the machine what processes are told apart by: its boot and its clocks? */
import { createProcfs } from '../sources/procfs.ts';
import { type Check, found, type Patient } from './check.ts';

const SAMPLE_MS = 200;
/** More than any scheduler makes two sleeps differ by, on both clocks at once. */
const STEP_MS = 50;
const EARLIEST_MS = Date.UTC(2025, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

export function checkBoot({ settings, ports }: Patient): Check {
  const root = settings.agent.procRoot;
  const procfs = createProcfs(ports.files, root);
  const bootId = procfs.bootId();
  const startedMs = procfs.bootTimeMs(ports.clock.wallMs());
  const missing = bootId === null ? 'the boot id' : 'when the machine started';
  if (bootId === null || startedMs === null)
    return found(
      'boot',
      'fail',
      `${root} does not tell ${missing}: processes before and after a reboot cannot be told apart.`,
      'Mount the proc file system of the host, unmasked, and name it with --proc.',
    );
  return found('boot', 'ok', `Boot ${bootId}, since ${new Date(startedMs).toISOString()}.`);
}

export async function checkClock({ ports }: Patient): Promise<Check> {
  const { clock } = ports;
  const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()];
  await clock.sleep(SAMPLE_MS, new AbortController().signal);
  const driftMs = clock.wallMs() - wallMs - (clock.monotonicMs() - monotonicMs);
  const now = new Date(wallMs).toISOString();
  if (wallMs < EARLIEST_MS || wallMs > LATEST_MS)
    return found(
      'clock',
      'fail',
      `The wall clock says ${now}, which cannot be.`,
      'Set it, and keep it with chrony or another NTP client.',
    );
  if (Math.abs(driftMs) > STEP_MS)
    return found(
      'clock',
      'warn',
      `The wall clock (${now}) moved by ${Math.round(driftMs)} ms against the monotonic one within ${SAMPLE_MS} ms: something sets it.`,
      'Let one NTP client slew the clock, and nothing else set it.',
    );
  return found('clock', 'ok', `The wall clock says ${now} and goes as fast as the monotonic one.`);
}
