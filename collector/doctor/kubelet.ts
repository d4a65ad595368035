/** Whether the kubelet says which device is which pod's. */
import { cgroupOwner } from '../../api/contract/cgroup.ts';
import { LIST, readGrants } from '../sources/pod-resources.ts';
import { messageOf } from '../spool-files.ts';
import { type Check, found, type Patient, readText } from './check.ts';

const ID = 'kubelet';
const REMEDIES: ReadonlyMap<unknown, string> = new Map([
  ['EACCES', 'Run the agent as root: the socket is for root alone.'],
  ['ECONNREFUSED', 'Nobody listens there: look whether the kubelet runs, and whether that is its socket.'],
]);
const ASK = "Look at the kubelet's log, and whether --pod-resources names its socket.";
const MAX_CGROUP_BYTES = 64 * 1024;

export async function checkKubelet(patient: Patient): Promise<Check> {
  const { podResources } = patient.settings.agent;
  if (podResources === undefined || patient.callLocal === undefined)
    return found(ID, 'unknown', 'No kubelet was asked.', 'Name its socket with --pod-resources.');
  try {
    const { grants } = readGrants(await patient.callLocal(podResources, LIST, Buffer.alloc(0)));
    const containers = new Set(
      grants.map(({ namespace, pod, container }) => `${namespace}/${pod}/${container}`),
    );
    return found(
      ID,
      'ok',
      `The kubelet says whose devices are whose: ${containers.size} containers have GPUs now.`,
    );
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code !== 'ENOENT')
      return found(
        ID,
        'warn',
        `The kubelet's socket ${podResources} does not tell which pod has which device: ${messageOf(error)}.`,
        `${REMEDIES.get(code) ?? ASK} Until then pods are placed where their processes are seen.`,
      );
    const own = readText(patient, '/proc/self/cgroup', MAX_CGROUP_BYTES);
    if (own === null || cgroupOwner(own)?.kind !== 'kubernetes')
      return found(ID, 'ok', 'There is no kubelet on this node.');
    return found(
      ID,
      'warn',
      `The agent runs in a pod and does not see ${podResources}, so pods are placed where their processes are seen.`,
      'Mount the folder /var/lib/kubelet/pod-resources of the node, as docs/deploy/daemonset.yaml does.',
    );
  }
}
