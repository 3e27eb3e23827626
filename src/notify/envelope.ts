/**
 * The JSON that receivers get: the envelope of the distribution registry, so that what was written for it understands ours.
 * What is unknown is left out.
 * @see distribution/distribution, docs/content/about/notifications.md and notifications/event.go
 */
import { parseManifest } from '../oci/manifest.ts';
import type { RegistryEvent } from './registry-event.ts';

/** The content type of an envelope. */
export const EVENTS_MEDIA_TYPE = 'application/vnd.docker.distribution.events.v2+json';

/** What the distribution registry calls the content of any blob. */
const BLOB_MEDIA_TYPE = 'application/octet-stream';

/** Facts that every event of this process shares. */
export interface EventSource {
  /** Host and port of this registry. */
  readonly address: string;
  /** Another one after each start. */
  readonly instanceId: string;
}

/** What an event is made with. */
export interface EnvelopeFacts {
  readonly id: string;
  readonly atMs: number;
  readonly source: EventSource;
  readonly includeReferences: boolean;
}

/** One event in the words of the envelope. */
export interface WireEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly action: string;
  readonly target: Readonly<Record<string, unknown>>;
  readonly request: Readonly<Record<string, unknown>>;
  readonly actor: Readonly<Record<string, unknown>>;
  readonly source: Readonly<Record<string, unknown>>;
}

/** Words the event. Two calls with the same facts make the same text, so that a repeated delivery is the same. */
export function wireEvent(event: RegistryEvent, facts: EnvelopeFacts): WireEvent {
  const { request } = event;
  return {
    id: facts.id,
    timestamp: new Date(facts.atMs).toISOString(),
    action: event.action,
    target: {
      mediaType: event.mediaType ?? (event.action === 'delete' ? undefined : BLOB_MEDIA_TYPE),
      digest: event.digest,
      size: event.sizeBytes,
      // The older name of the same, which receivers still read.
      length: event.sizeBytes,
      repository: event.repository,
      fromRepository: event.fromRepository,
      url: contentUrl(event),
      tag: event.tag,
      references: facts.includeReferences ? references(event) : undefined,
    },
    request: {
      id: request.id,
      addr: request.clientAddress,
      host: request.host,
      method: request.method,
      useragent: request.userAgent ?? '',
    },
    actor: { name: event.actorName },
    source: { addr: facts.source.address, instanceID: facts.source.instanceId },
  };
}

/** The body of a request with one event in it. */
export function envelopeText(event: string): string {
  return `{"events":[${event}]}`;
}

/** What a manifest refers to, but for its subject; its bytes were checked when they were pushed. */
function references({ manifestBytes, mediaType }: RegistryEvent): Record<string, unknown>[] | undefined {
  if (manifestBytes === undefined || mediaType === undefined) return undefined;
  const { config, layers, manifests } = parseManifest(manifestBytes, mediaType);
  const named = [...(config === undefined ? [] : [config]), ...layers, ...manifests];
  return named.map(({ mediaType: type, digest, sizeBytes }) => ({ mediaType: type, digest, size: sizeBytes }));
}

/** Where the content can be fetched; nowhere once it is deleted. */
function contentUrl({ action, mediaType, repository, digest, request }: RegistryEvent): string | undefined {
  if (action === 'delete' || digest === undefined || request.host === undefined) return undefined;
  const kind = mediaType === undefined || mediaType === BLOB_MEDIA_TYPE ? 'blobs' : 'manifests';
  return `http://${request.host}/v2/${repository}/${kind}/${digest}`;
}
