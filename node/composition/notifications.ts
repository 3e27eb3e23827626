/** Webhook notifications of a seed: the endpoints as they are configured, and the notifier over them. */
import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { checkEndpoint, type EndpointConfig, type NotifyConfig } from '../../src/notify/endpoint-config.ts';
import { Notifier } from '../../src/notify/notifier.ts';
import { systemClock } from '../../src/origin/clock.ts';
import type { NodeConfig, WebhookConfig } from '../config/schema.ts';
import { readNamedSecret, readNamedText } from './named-file.ts';
import { proxyConfig } from './upstream-table.ts';

/** The folder of what is to be delivered, below the data folder. */
const OUTBOX_FOLDER = 'webhooks';

/** Reads what the configuration names. @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_WEBHOOK_INVALID */
export async function notifyConfig(config: NodeConfig): Promise<NotifyConfig> {
  const { endpoints, includeReferences } = config.notifications;
  return { endpoints: await Promise.all(endpoints.map(readEndpoint)), includeReferences, proxy: proxyConfig(config) };
}

/** Opens the notifier; whoever does closes it. @throws {DockyardError} of the outbox, when its folder cannot be used */
export async function openNotifier(
  deps: { readonly log: Logger; readonly metrics: Registry },
  config: NodeConfig,
  notify: NotifyConfig,
): Promise<Notifier> {
  return await Notifier.open(
    join(config.data, OUTBOX_FOLDER),
    {
      log: deps.log.child({ part: 'notify' }),
      metrics: deps.metrics,
      clock: systemClock,
      resolveHost: async (host) => await lookup(host, { all: true }),
      newId: randomUUID,
      source: { address: `${hostname()}:${config.listen.port}`, instanceId: randomUUID() },
    },
    notify,
  );
}

async function readEndpoint(endpoint: WebhookConfig): Promise<EndpointConfig> {
  const { name, url = '', secret, secretFile, ca, ignore, maxPending, maxDeadLetters, ...others } = endpoint;
  const owner = `webhook endpoint ${name}`;
  const { disabled, headers, timeoutMs, threshold, backoffMs, giveUpAfterMs, allowPrivate } = others;
  const resolved: EndpointConfig = {
    name,
    url,
    disabled,
    headers,
    secret: secret ?? (await readNamedSecret(secretFile, owner, 'the key of signatures')),
    caPem: await readNamedText(ca, owner),
    timeoutMs,
    threshold,
    backoffMs,
    giveUpAfterMs,
    maxPending,
    maxDeadLetters,
    allowPrivate,
    ignoredMediaTypes: ignore.mediaTypes,
    ignoredActions: ignore.actions,
  };
  checkEndpoint(resolved);
  return resolved;
}
