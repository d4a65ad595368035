/** Does nvidia-smi answer, and what will its driver tell? */
import type { Executed } from '../ports.ts';
import { isUnknown, type Reading } from '../reading.ts';
import { parseXml } from '../sources/nvidia-smi/xml.ts';
import { createDevicePoller, readInventory } from '../sources/nvidia-smi.ts';
import { type Check, found, listed, type Patient } from './check.ts';

/** Before the agent's own time-out of each call. */
const REPORT_TIMEOUT_MS = 30_000;
const REPORT_BYTES = 16 * 1024 * 1024;
const PERSISTENCE = /<persistence_mode>\s*([^<]{1,80}?)\s*<\/persistence_mode>/g;

const NO_REPORT = 'It cannot be told without a report of nvidia-smi.';

/** The checks, and the poll that they made: `hidden pids` needs it too. */
export interface GpuFindings {
  readonly checks: readonly Check[];
  readonly reading: Reading | null;
}

export async function checkGpus(patient: Patient): Promise<GpuFindings> {
  const { settings, ports } = patient;
  const { nvidiaSmi } = settings.agent;
  const executed = await ports.execute(nvidiaSmi, ['-q', '-x'], {
    timeoutMs: REPORT_TIMEOUT_MS,
    maxOutputBytes: REPORT_BYTES,
  });
  const text = executed.stdout.toString('utf8');
  const report = parseXml(text);
  const inventory =
    executed.failure === null && report.whole ? await readInventory(ports, settings.agent) : null;
  if (inventory === null || inventory.devices === null || inventory.devices.length === 0) {
    const told =
      executed.failure === 'failed' ? executed.stderr.toString('utf8') : report.problems[0]?.message;
    const said = (told ?? inventory?.failure?.detail ?? '').trim().replace(/\.+$/, '');
    const rest = ['readings', 'persistence', 'accounting', 'mig'] as const;
    return {
      checks: [failed(nvidiaSmi, executed, said), ...rest.map((id) => found(id, 'unknown', NO_REPORT))],
      reading: null,
    };
  }
  const startedMs = ports.clock.monotonicMs();
  const reading = await createDevicePoller(ports, settings.agent).poll(inventory.devices);
  const pollMs = ports.clock.monotonicMs() - startedMs;
  return {
    checks: [
      checkReport(nvidiaSmi, report, executed.durationMs),
      checkReadings(reading, pollMs, settings.agent.pollIntervalMs),
      checkPersistence([...text.matchAll(PERSISTENCE)].map((match) => match[1] ?? '')),
      checkAccounting(report),
      checkMig(report),
    ],
    reading,
  };
}

type Report = ReturnType<typeof parseXml>;

const WITHOUT_CODE = {
  failed: 'it could not be started',
  killed: 'it was killed',
  output_limit: 'it said too much',
};

function failed(path: string, { failure, exitCode }: Executed, said: string): Check {
  const tail = said === '' ? '.' : `: ${said}.`;
  switch (failure) {
    case 'missing':
      return found(
        'nvidia-smi',
        'fail',
        `There is no ${path}: no GPU of this node will be measured.`,
        'Install the driver, or name the program with --nvidia-smi; in a container, let the runtime bring it along.',
      );
    case 'not_permitted':
      return found(
        'nvidia-smi',
        'fail',
        `${path} may not be run by this account.`,
        'Make it executable for the account of the agent.',
      );
    case 'timeout':
      return found(
        'nvidia-smi',
        'fail',
        `${path} did not answer within ${REPORT_TIMEOUT_MS / 1000} s: the driver hangs.`,
        'Look at the kernel log for Xid messages, start nvidia-persistenced, and reboot the node if it stays so.',
      );
    default:
      if (/^no devices were found/i.test(said))
        return found(
          'nvidia-smi',
          'fail',
          `${path} answers that it finds no devices.`,
          'On a node that has GPUs, look whether a device control group or a container hides /dev/nvidia* from the agent.',
        );
      return found(
        'nvidia-smi',
        'fail',
        `${path} gave no report (${failure === null ? `exit code ${exitCode}` : WITHOUT_CODE[failure]})${tail}`,
        /version mismatch/i.test(said)
          ? 'Reload the driver or reboot: its kernel module and its library are of two versions.'
          : 'Run it by hand under the same account, and look at the kernel log.',
      );
  }
}

function checkReport(path: string, report: Report, durationMs: number): Check {
  const problems = [...new Set(report.problems.map(({ message }) => message))];
  const driver = report.driverVersion ?? 'of unknown version';
  const took = `${Math.round(durationMs)} ms`;
  const summary = `${path} describes ${report.devices.length} GPUs with driver ${driver} in ${took}`;
  if (problems.length === 0) return found('nvidia-smi', 'ok', `${summary}.`);
  return found(
    'nvidia-smi',
    'warn',
    `${summary}, and complains: ${listed(problems)}.`,
    'See to the GPUs that it names; until then they count as not measured.',
  );
}

function checkReadings(reading: Reading, pollMs: number, pollIntervalMs: number): Check {
  const bad = reading.devices.flatMap((device) => (device.ok ? [] : [`${device.uuid}: ${device.detail}`]));
  const took = `a poll took ${Math.round(pollMs)} ms`;
  if (bad.length > 0)
    return found(
      'readings',
      'fail',
      `Not measured: ${listed(bad)} (${took}).`,
      'See to these GPUs; their time is booked as not measured, never as idle.',
    );
  if (pollMs > pollIntervalMs)
    return found(
      'readings',
      'warn',
      `All ${reading.devices.length} GPUs are measured, but ${took} and one is due every ${pollIntervalMs} ms.`,
      'Start nvidia-persistenced, or poll more slowly with --poll.',
    );
  return found('readings', 'ok', `All ${reading.devices.length} GPUs are measured; ${took}.`);
}

function checkPersistence(modes: readonly string[]): Check {
  const on = modes.filter((mode) => mode === 'Enabled').length;
  const off = modes.filter((mode) => mode === 'Disabled').length;
  if (modes.length > 0 && on === modes.length)
    return found('persistence', 'ok', 'Persistence mode is on for all GPUs.');
  if (off === 0)
    return found(
      'persistence',
      'unknown',
      'The driver does not tell the persistence mode of every GPU.',
      'Ask with nvidia-smi -q.',
    );
  return found(
    'persistence',
    'warn',
    `Persistence mode is off on ${off} of ${modes.length} GPUs: the driver may unload between readings, is slow then, and forgets modes.`,
    'Run nvidia-persistenced, or as root: nvidia-smi -pm 1.',
  );
}

function checkAccounting({ devices }: Report): Check {
  const off = devices.filter((device) => device.accountingEnabled === false);
  const unclear = devices.filter((device) => isUnknown(device.accountingEnabled));
  const excused = off.filter((device) => device.migEnabled === true);
  if (off.length > excused.length)
    return found(
      'accounting',
      'warn',
      `Accounting mode is off on ${off.length} of ${devices.length} GPUs: what begins and ends between two polls leaves no trace.`,
      'As root, with persistence mode on: nvidia-smi -am 1.',
    );
  if (unclear.length > 0)
    return found(
      'accounting',
      'unknown',
      `The driver does not tell the accounting mode of ${unclear.length} of ${devices.length} GPUs.`,
      'Ask with nvidia-smi -q -d ACCOUNTING.',
    );
  if (excused.length > 0)
    return found('accounting', 'ok', 'Accounting mode is on wherever MIG does not rule it out.');
  return found('accounting', 'ok', 'Accounting mode is on for all GPUs.');
}

function checkMig({ devices }: Report): Check {
  const on = devices.filter((device) => device.migEnabled === true);
  if (on.length === 0) return found('mig', 'ok', 'No GPU is divided by MIG.');
  return found(
    'mig',
    'warn',
    `MIG is on for ${on.length} of ${devices.length} GPUs: it is unknown there whether a process computes.`,
    'Nothing mends this but MIG switched off; the agent needs CAP_SYS_ADMIN if processes on instances stay hidden.',
  );
}
