/**
 * Kubernetes as a source: every pod on a node with GPUs is a job, whether it asked for GPUs or not. Which device is whose
 * the kubelet tells the agent; here stands how many a pod asked for, whose it is and when it ran.
 */

import { membersAt, textOf } from '../json-values.ts';
import type { Source, SourceCheck, SourceSink } from '../source.ts';
import { connect, type KubernetesApi } from './connect.ts';
import { followCluster } from './follow-cluster.ts';
import { KubernetesSettings, podPaths } from './settings.ts';

export { KubernetesSettings };

export function createKubernetesSource(settings: KubernetesSettings, nowMs: () => number): Source {
  return {
    source: 'kubernetes',
    instance: settings.instance,
    async follow(_sinceMs: number | null, sink: SourceSink, signal: AbortSignal): Promise<void> {
      const api = await connect(settings, nowMs);
      await assertCluster(api, settings, signal);
      await followCluster(api, settings, sink, signal);
    },
    async check(signal: AbortSignal): Promise<readonly SourceCheck[]> {
      const checks: SourceCheck[] = [];
      const attempt = async (name: string, act: () => Promise<string>): Promise<boolean> => {
        try {
          checks.push({ name, ok: true, message: await act() });
          return true;
        } catch (error) {
          checks.push({ name, ok: false, message: error instanceof Error ? error.message : String(error) });
          return false;
        }
      };
      let api: KubernetesApi | null = null;
      await attempt('configuration', async () => {
        api = await connect(settings, nowMs);
        return `the API is at ${api.address}`;
      });
      if (api === null) return checks;
      const reached: KubernetesApi = api;
      const isThere = await attempt('api', async () => {
        const version = textOf(membersAt(await reached.get('/version', {}, signal)), 'gitVersion');
        return `it answers as Kubernetes ${version ?? 'of an unknown version'}`;
      });
      if (!isThere) return checks;
      await attempt('cluster', async () => {
        const uid = await assertCluster(reached, settings, signal);
        return uid === null ? 'its identity may not be read, and none is asked for' : `it is ${uid}`;
      });
      await attempt('nodes', async () => {
        await reached.get('/api/v1/nodes', { limit: 1 }, signal);
        return 'nodes can be listed';
      });
      for (const path of podPaths(settings))
        await attempt('pods', async () => {
          await reached.get(path, { limit: 1 }, signal);
          return `${path} can be listed`;
        });
      return checks;
    },
  };
}

/** A cluster is who its namespace kube-system is. Throws where it is another one than the settings say. */
async function assertCluster(
  api: KubernetesApi,
  { clusterUid }: KubernetesSettings,
  signal: AbortSignal,
): Promise<string | null> {
  let uid: string | null = null;
  try {
    const namespace = await api.get('/api/v1/namespaces/kube-system', { metadataOnly: true }, signal);
    uid = textOf(membersAt(namespace, 'metadata'), 'uid');
  } catch (error) {
    signal.throwIfAborted();
    if (clusterUid !== undefined) throw error;
  }
  if (clusterUid !== undefined && uid !== clusterUid)
    throw new Error(
      `${api.address} answers for the cluster ${uid ?? 'without a uid'}, not for ${clusterUid}`,
    );
  return uid;
}
