/** Tells metrics and webhooks of what a collection of garbage removes. */
import { randomUUID } from 'node:crypto';
import type { Registry } from 'prom-client';
import type { Notifier } from '../../src/notify/notifier.ts';
import { CollectionMetrics, type CollectionObserver } from '../../src/seed/collection-observer.ts';

/** Receivers see a collection as a client that deletes tags and manifests; of blobs nobody is told, as when clients leave them behind. */
export function collectionObserver(notifier: Pick<Notifier, 'onEvent'>, registry: Registry): CollectionObserver {
  const metrics = new CollectionMetrics(registry);
  return {
    onEvent: async (event) => {
      metrics.event(event);
      if (event.kind !== 'tag' && event.kind !== 'manifest') return;
      const what = event.kind === 'tag' ? { tag: event.tag } : { digest: event.digest };
      const request = { id: randomUUID(), method: 'DELETE', userAgent: 'dockyard gc' };
      await notifier.onEvent({ action: 'delete', repository: event.repository, ...what, request });
    },
    onEnd: (outcome, atMs) => metrics.end(outcome, atMs),
  };
}
