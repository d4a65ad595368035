/** What changed, as it happens: services publish, the event stream subscribes. */
import type { LiveEvent } from '../contract/overview.ts';

export interface Live {
  publish(event: LiveEvent): void;
  /** Returns the function that ends the subscription. A listener that throws loses only that event. */
  subscribe(listener: (event: LiveEvent) => void): () => void;
}

export function createLive(): Live {
  const listeners = new Set<(event: LiveEvent) => void>();
  return {
    publish(event) {
      for (const listener of [...listeners]) {
        try {
          listener(event);
        } catch {
          // One broken page connection must not stop the others, nor the service that publishes.
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
