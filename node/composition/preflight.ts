/**
 * What can be seen to be wrong before a start touches the disk: a mistyped key or a port that is taken must not leave a data
 * folder behind.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Logger } from 'pino';
import type { OriginConfig } from '../../src/origin/upstream-config.ts';
import { loadSwarmKey, type SwarmKey } from '../../src/swarm/swarm-key.ts';
import { parseTrackerUrl } from '../../src/swarm/tracker-client.ts';
import type { HostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import { listenFailure, type ListenPurpose } from '../listen-failure.ts';
import type { NotifyConfig } from '../../src/notify/endpoint-config.ts';
import type { AppcServerConfig } from '../../src/appc/server/appc-server.ts';
import type { S3StorageConfig } from '../../src/storage/s3-config.ts';
import { appcConfig } from './appc-parts.ts';
import { notifyConfig } from './notifications.ts';
import { bucketConfig } from './record-storage.ts';
import { originConfig } from './upstream-table.ts';

/** What the files that a configuration names hold. */
export interface NamedFiles {
  readonly origin: OriginConfig;
  /** `undefined` in an open swarm and outside of any. */
  readonly swarmKey: SwarmKey | undefined;
  readonly notify: NotifyConfig;
  /** `undefined` for storage of record on the disk. */
  readonly bucket: S3StorageConfig | undefined;
  /** `undefined` where app container images are not served. */
  readonly appc: AppcServerConfig | undefined;
}

/**
 * Reads the files that the configuration names, and checks what only their readers can check.
 * @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_UPSTREAM_INVALID, ERR_WEBHOOK_INVALID, ERR_SWARM_KEY_INVALID, ERR_TRACKER_FAILED,
 *   ERR_KEY_INVALID, ERR_PUSHERS_INVALID
 */
export async function readNamedFiles(config: NodeConfig, log: Logger): Promise<NamedFiles> {
  const { enabled, key, tracker } = config.swarm;
  for (const url of tracker) parseTrackerUrl(url);
  const swarmKey = enabled && key !== undefined ? await loadSwarmKey(key, log) : undefined;
  const [origin, notify, bucket] = [await originConfig(config), await notifyConfig(config), await bucketConfig(config)];
  return { origin, swarmKey, notify, bucket, appc: await appcConfig(config) };
}

/**
 * Tries the ports of a node that starts for the first time. One with a data folder finds out when it listens: others know its
 * ports, and one of them might just try to reach it.
 * @throws {DockyardError} ERR_LISTEN_FAILED, ERR_SWARM_LISTEN
 */
export async function tryPortsOfNewNode(config: NodeConfig): Promise<void> {
  if (existsSync(config.data)) return;
  const { enabled, listen, data } = config.swarm;
  await tryListen('registry', config.listen);
  await tryListen('admin', config.admin);
  if (!enabled) return;
  await tryListen('swarm', listen);
  await tryListen('data', data);
}

async function tryListen(purpose: ListenPurpose, address: HostPort): Promise<void> {
  if (address.port === 0) return;
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen({ host: address.host, port: address.port });
    await once(server, 'listening');
  } catch (error) {
    throw listenFailure(purpose, address, error);
  }
  server.close();
  await once(server, 'close');
}
