/** What will and will not be seen on this node, and how to mend it: every check once, in the order in which to mend. */
import { type Check, found, type Patient } from './doctor/check.ts';
import { checkGpus } from './doctor/gpus.ts';
import { checkCovers, checkDeviceFiles, checkTools } from './doctor/integrity.ts';
import { checkKubelet } from './doctor/kubelet.ts';
import { checkBoot, checkClock } from './doctor/machine.ts';
import {
  checkCgroups,
  checkGpuPids,
  checkHidepid,
  checkOtherUsers,
  checkPidNamespace,
  checkRights,
} from './doctor/rights.ts';
import { checkService } from './doctor/service.ts';
import { checkSpool } from './doctor/spool.ts';
import { messageOf } from './spool-files.ts';

/** Never rejects: a check that fails by itself is `unknown`. Changes nothing on the node, and sends two GETs. */
export async function diagnose(patient: Patient): Promise<Check[]> {
  const [gpus, clock, service, kubelet] = await Promise.all([
    checkGpus(patient).catch((error: unknown) => ({ checks: [broken('nvidia-smi', error)], reading: null })),
    checkClock(patient).catch((error: unknown) => broken('clock', error)),
    checkService(patient).catch((error: unknown) => [broken('api', error)]),
    checkKubelet(patient).catch((error: unknown) => broken('kubelet', error)),
  ]);
  const local: readonly (readonly [string, () => Check | Check[]])[] = [
    ['rights', () => checkRights(patient)],
    ['other-users', () => checkOtherUsers(patient)],
    ['pid-namespace', () => checkPidNamespace(patient)],
    ['gpu-pids', () => checkGpuPids(patient, gpus.reading)],
    ['hidepid', () => checkHidepid(patient)],
    ['covers', () => checkCovers(patient)],
    ['device-files', () => checkDeviceFiles(patient, gpus.reading)],
    ['tools', () => checkTools(patient)],
    ['kubelet', () => kubelet],
    ['cgroups', () => checkCgroups(patient)],
    ['boot', () => checkBoot(patient)],
    ['clock', () => clock],
    ['spool', () => checkSpool(patient)],
  ];
  return [...gpus.checks, ...local.flatMap(([id, check]) => attempted(id, check)), ...service];
}

function attempted(id: string, check: () => Check | Check[]): Check[] {
  try {
    return [check()].flat();
  } catch (error) {
    return [broken(id, error)];
  }
}

const broken = (id: string, error: unknown): Check =>
  found(
    id,
    'unknown',
    `The check itself failed: ${messageOf(error)}.`,
    'Report this, with the version of the agent.',
  );

/** 0: all is well; 1: something limits what is seen, or could not be told; 2: something fails. */
export function exitCodeOf(checks: readonly Check[]): 0 | 1 | 2 {
  if (checks.some(({ status }) => status === 'fail')) return 2;
  return checks.some(({ status }) => status !== 'ok') ? 1 : 0;
}
