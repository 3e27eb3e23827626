/** A webhook endpoint as the operator configured it. */
import type { ProxyConfig } from '../origin/upstream-config.ts';
import { notifyError } from './errors.ts';
import { EVENT_ACTIONS } from './registry-event.ts';

/** One receiver of notifications. */
export interface EndpointConfig {
  readonly name: string;
  readonly url: string;
  readonly disabled: boolean;
  /** Sent with every request, in order; one name may stand several times. */
  readonly headers: readonly HeaderConfig[];
  /** The key of signatures. */
  readonly secret: string | undefined;
  readonly caPem: string | undefined;
  /** How long one delivery may take. */
  readonly timeoutMs: number;
  /** Failures in a row after which there is a pause before each further try. */
  readonly threshold: number;
  readonly backoffMs: number;
  /** How old an event may get before it is given up. */
  readonly giveUpAfterMs: number;
  /** Events that wait, at most; beyond that the oldest is given up. */
  readonly maxPending: number;
  /** Events that were given up and are kept, at most; beyond that the oldest is forgotten. */
  readonly maxDeadLetters: number;
  readonly allowPrivate: boolean;
  readonly ignoredMediaTypes: readonly string[];
  readonly ignoredActions: readonly string[];
}

/** A header of requests. */
export interface HeaderConfig {
  readonly name: string;
  readonly value: string;
}

/** All of notifications. */
export interface NotifyConfig {
  readonly endpoints: readonly EndpointConfig[];
  readonly proxy: ProxyConfig;
  /** Whether events of manifests name what the manifest refers to. */
  readonly includeReferences: boolean;
}

/** Headers that say how this request is framed; an operator's value would make it unreadable. */
const OWN_HEADERS = new Set([
  'content-length',
  'content-type',
  'host',
  'connection',
  'transfer-encoding',
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
]);

/** Refuses what single values cannot show to be wrong. @throws {DockyardError} ERR_WEBHOOK_INVALID */
export function checkEndpoint(endpoint: EndpointConfig): void {
  const refuse = (why: string): never => {
    throw notifyError('ERR_WEBHOOK_INVALID', `webhook endpoint ${endpoint.name}: ${why}`);
  };
  for (const action of endpoint.ignoredActions) {
    if (!EVENT_ACTIONS.some((known) => known === action))
      refuse(`no events have the action '${action}'; there are ${EVENT_ACTIONS.join(', ')}`);
  }
  for (const { name } of endpoint.headers) {
    if (OWN_HEADERS.has(name.toLowerCase())) refuse(`the header ${name} cannot be set`);
  }
}
