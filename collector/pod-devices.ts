/** Which devices the kubelet gave to which pod: asked at a slow pace beside the polls, sooner when processes come. */
import { canonicalJson } from '../api/contract/canonical.ts';
import { type GrantsFact, replicaOf } from '../api/contract/grants.ts';
import type { AgentClock, CallLocal } from './ports.ts';
import { ALLOCATABLE, LIST, readGrants, readReplicas } from './sources/pod-resources.ts';
import { messageOf } from './spool-files.ts';

const LOOK_MS = 30_000;
/** After news, since whoever uses a device may be of a new pod. */
const EARLY_LOOK_MS = 5_000;
/** What the kubelet said so long ago is no longer told. */
const STALE_MS = 600_000;
const NOTHING = Buffer.alloc(0);
const CUT = 'the kubelet gave more devices than are reported: some pods are placed by number';

export interface PodDevicesListener {
  /** The next batch is to tell of it. */
  changed(): void;
  /** What is wrong; null: nothing is. */
  state(wrong: string | null): void;
}

export class PodDevices {
  readonly #socketPath: string;
  readonly #clock: Pick<AgentClock, 'wallMs' | 'monotonicMs'>;
  readonly #call: CallLocal | null;
  readonly #listener: PodDevicesListener;
  #fact: GrantsFact | null = null;
  #text = '';
  #heardMs = Number.NEGATIVE_INFINITY;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking = false;
  #news = false;

  constructor(
    socketPath: string,
    ports: { readonly clock: AgentClock; readonly callLocal?: CallLocal },
    listener: PodDevicesListener,
  ) {
    this.#socketPath = socketPath;
    this.#clock = ports.clock;
    this.#call = ports.callLocal ?? null;
    this.#listener = listener;
  }

  /** null: there is no kubelet, or it has not been heard for long. */
  fact(): GrantsFact | null {
    return this.#clock.monotonicMs() - this.#heardMs < STALE_MS ? this.#fact : null;
  }

  /** Asks when it is time; `news`: processes came or went. Nobody needs to wait for it. Never rejects. */
  async lookIfDue(news: boolean): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#news ||= news;
    if (this.#call === null || this.#looking) return;
    if (nowMs - this.#lookedMs < (this.#news && this.#fact !== null ? EARLY_LOOK_MS : LOOK_MS)) return;
    this.#lookedMs = nowMs;
    this.#news = false;
    this.#looking = true;
    try {
      await this.#look(this.#call);
      this.#listener.state(null);
    } catch (error) {
      // On most nodes there is no kubelet.
      if (this.#fact !== null || !isAbsent(error))
        this.#listener.state(`the kubelet does not say whose devices are whose: ${messageOf(error)}`);
    } finally {
      this.#looking = false;
    }
  }

  async #look(call: CallLocal): Promise<void> {
    const { grants, cut } = readGrants(await call(this.#socketPath, LIST, NOTHING));
    const atMs = Math.round(this.#clock.wallMs());
    const divided = grants.some(({ ids }) => ids.some((id) => replicaOf(id) !== null));
    const replicas = divided ? await this.#replicas(call) : [];
    const text = canonicalJson([grants, replicas]);
    const isNew = this.#fact === null || text !== this.#text;
    this.#fact = { atMs, grants, replicas };
    this.#text = text;
    this.#heardMs = this.#clock.monotonicMs();
    if (isNew) this.#listener.changed();
    if (cut) throw new Error(CUT);
  }

  /** Kubelets before 1.23 do not say: then nobody knows how many share a device. */
  async #replicas(call: CallLocal): Promise<GrantsFact['replicas']> {
    try {
      return readReplicas(await call(this.#socketPath, ALLOCATABLE, NOTHING));
    } catch {
      return [];
    }
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
