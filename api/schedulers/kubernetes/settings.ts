/** What a site says of a Kubernetes cluster that is followed. */
import { z } from 'zod';
import { Name } from '../../contract/primitives.ts';

const Key = z.string().trim().min(1).max(317);

/** Where a pod says a name: the first rule that finds one counts. */
const NameRule = z.union([
  z.strictObject({ label: Key }),
  z.strictObject({ annotation: Key }),
  z.strictObject({ namespaceLabel: Key }),
  z.strictObject({ namespaceAnnotation: Key }),
  z.strictObject({ namespace: z.literal(true) }),
]);
export type NameRule = z.output<typeof NameRule>;

const MAX_RULES = 32;

export const KubernetesSettings = z.strictObject({
  instance: Name.default('default').meta({
    description: 'Which cluster it is: pod ids are unique within it',
  }),
  kubeconfig: z.string().min(1).max(4096).optional().meta({
    description:
      'File with the way into the cluster. Default: the service account of the pod that this runs in, else KUBECONFIG and ~/.kube/config',
  }),
  context: Name.optional().meta({ description: "Context of that file. Default: the file's own" }),
  clusterUid: Name.optional().meta({
    description: 'UID of the namespace kube-system: an API of another cluster is refused',
  }),
  namespaces: z.array(Name).min(1).max(256).optional().meta({ description: 'Default: all of them' }),
  account: z
    .array(NameRule)
    .max(MAX_RULES)
    .default([{ label: 'gpuledger.io/account' }, { annotation: 'gpuledger.io/account' }, { namespace: true }])
    .meta({ description: 'Where the account stands, in this order; else it is the namespace' }),
  user: z
    .array(NameRule)
    .max(MAX_RULES)
    .default([{ label: 'gpuledger.io/user' }, { annotation: 'gpuledger.io/user' }])
    .meta({ description: 'Where the user stands, in this order; else none is stated' }),
  resources: z
    .array(z.string().min(1).max(317))
    .max(MAX_RULES)
    .default(['nvidia.com/gpu', 'nvidia.com/gpu.shared', 'nvidia.com/mig-*'])
    .meta({ description: 'Names of the resources that are GPUs; a * at the end stands for the rest' }),
  shortNodeNames: z.boolean().default(false).meta({
    description:
      'Nodes are known by their names up to the first dot, as agents outside of a DaemonSet call them',
  }),
});
export type KubernetesSettings = z.output<typeof KubernetesSettings>;

/** The lists of pods that are followed. */
export const podPaths = ({ namespaces }: Pick<KubernetesSettings, 'namespaces'>): string[] =>
  namespaces?.map((one) => `/api/v1/namespaces/${encodeURIComponent(one)}/pods`) ?? ['/api/v1/pods'];
