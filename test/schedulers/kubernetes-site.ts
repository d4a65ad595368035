/** A served cluster of one node with GPUs and one without, and the source that follows it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { createKubernetesSource, KubernetesSettings } from '../../api/schedulers/kubernetes/source.ts';
import type { Source } from '../../api/schedulers/source.ts';
import { FakeKubernetes } from './kubernetes-api.ts';
import { node, type PodWish, pod } from './kubernetes-objects.ts';
import { RecordingSink } from './recording-sink.ts';

export class KubernetesSite {
  readonly cluster = new FakeKubernetes();
  readonly sink = new RecordingSink();
  readonly stop = new AbortController();
  readonly #folder = mkdtempSync(join(tmpdir(), 'kubernetes-'));
  readonly #kubeconfig = join(this.#folder, 'config');
  #running: Promise<unknown> = Promise.resolve();

  async start(): Promise<void> {
    writeKubeconfig(this.#kubeconfig, await this.cluster.start());
    const metadata = { name: 'kube-system', uid: 'lab-uid' };
    this.cluster.put('/api/v1/namespaces/kube-system', { kind: 'Namespace', metadata });
    this.cluster.put('/api/v1/nodes/gpu-n1', node('gpu-n1', { gpus: 8 }));
    this.cluster.put('/api/v1/nodes/cpu-n1', node('cpu-n1'));
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.#running.catch(() => undefined);
    await this.cluster.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  source(more: Record<string, unknown> = {}): Source {
    return createKubernetesSource(
      KubernetesSettings.parse({ kubeconfig: this.#kubeconfig, ...more }),
      Date.now,
    );
  }

  follow(more: Record<string, unknown> = {}): void {
    this.#running = this.source(more).follow(null, this.sink, this.stop.signal);
    this.#running.catch(() => undefined);
  }

  put(wish: PodWish): void {
    this.cluster.put(`/api/v1/namespaces/${wish.namespace ?? 'team-a'}/pods/${wish.name}`, pod(wish));
  }

  /** How often the list of pods was read. */
  get lists(): number {
    return this.cluster.requests.filter((one) => one.includes('/pods') && one.includes('limit=')).length;
  }
}

export function writeKubeconfig(path: string, server: string): void {
  const config = {
    clusters: [{ name: 'lab', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'reader', user: { token: 'secret-token-of-the-reader' } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'reader' } }],
    'current-context': 'lab',
  };
  writeFileSync(path, JSON.stringify(config));
}

export const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 8000, interval: 10 });
