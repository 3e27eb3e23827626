/** Endpoints and events for tests. */
import type { EndpointConfig, NotifyConfig } from '../../../src/notify/endpoint-config.ts';
import type { RegistryEvent } from '../../../src/notify/registry-event.ts';
import { NO_PROXY } from '../../../src/origin/upstream-config.ts';

/** An endpoint that is quick to try again. */
export function endpoint(url: string, changes: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    name: 'ci',
    url,
    disabled: false,
    headers: [],
    secret: undefined,
    caPem: undefined,
    timeoutMs: 2_000,
    threshold: 3,
    backoffMs: 1,
    giveUpAfterMs: 60_000,
    maxPending: 100,
    maxDeadLetters: 100,
    allowPrivate: true,
    ignoredMediaTypes: [],
    ignoredActions: [],
    ...changes,
  };
}

/** A configuration with these endpoints. */
export function notifyConfig(...endpoints: EndpointConfig[]): NotifyConfig {
  return { endpoints, proxy: NO_PROXY, includeReferences: false };
}

/** A pushed manifest. */
export function pushOf(tag: string): RegistryEvent {
  return {
    action: 'push',
    repository: 'team/app',
    digest: `sha256:${'a'.repeat(64)}`,
    tag,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    sizeBytes: 527,
    manifestBytes: Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'b'.repeat(64)}`, size: 2 },
        layers: [],
      }),
    ),
    request: {
      id: 'request-1',
      clientAddress: '10.1.2.3:4567',
      host: 'seed.lan:5000',
      method: 'PUT',
      userAgent: 'docker/28',
    },
  };
}
