/** A tracker as a process: started, told of on the terminal, ended by signals; SIGHUP reads its list of registered torrents again. */
import type { Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { isDockyardError } from '../../src/oci/error.ts';
import { loadSwarmKey } from '../../src/swarm/swarm-key.ts';
import { TrackerProof } from '../../src/swarm/tracker-proof.ts';
import { openTracker, type DockyardTracker, type TrackerConfig } from '../../tracker/tracker.ts';
import { formatHostPort } from '../config/address.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { TrackerOptions } from '../config/tracker-schema.ts';
import { listenFailure } from '../listen-failure.ts';
import { createLog } from './log.ts';

/** Runs a tracker until a signal ends it. @throws {DockyardError} when it cannot start */
export async function runTracker(
  { config, sources }: LoadedConfig<TrackerOptions>,
  tell: (line: string) => void,
): Promise<void> {
  const log = createLog(config.log);
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  process.once('SIGTERM', end).once('SIGINT', end);
  await using tracker = await start(config, sources.has('data'), log);
  process.on('SIGHUP', () => {
    tracker.reload().catch((error: unknown) => log.error({ err: error }, 'tracker goes on with what was registered'));
  });
  const place = formatHostPort({ host: config.listen.host, port: tracker.port });
  const admin = formatHostPort({ host: config.admin.host, port: tracker.adminPort });
  tell(
    `Dockyard tracker on http://${place}/announce and udp://${place} · give nodes --tracker http://<this host>:${tracker.port}/announce`,
  );
  tell(`It is ${config.access} · its page: http://${admin}/`);
  const signal = await ended;
  log.info({ signal, ...tracker.stats() }, 'tracker stopping');
}

async function start(config: TrackerOptions, isFolderChosen: boolean, log: Logger): Promise<DockyardTracker> {
  const key = config.swarmKey === undefined ? undefined : await loadSwarmKey(config.swarmKey, log);
  const proof = key === undefined ? undefined : new TrackerProof(key);
  const open = async (trackerConfig: TrackerConfig): Promise<DockyardTracker> => {
    const metrics = new Registry();
    collectDefaultMetrics({ register: metrics });
    return await openTracker({ log, metrics, proof }, trackerConfig);
  };
  try {
    return await open(trackerConfig(config)).catch(async (error: unknown) => {
      // Nobody asked for the folder: a tracker that forgets is better than none.
      if (isFolderChosen || !isDockyardError(error, 'ERR_TRACKER_STATE')) throw error;
      log.warn({ err: error }, 'tracker keeps nothing over a restart; --data DIR says where it may');
      return await open({ ...trackerConfig(config), dataDirectory: undefined });
    });
  } catch (error) {
    if (!isDockyardError(error, 'ERR_TRACKER_LISTEN')) throw error;
    if (error.details['purpose'] === 'admin') throw listenFailure('trackerPage', config.admin, error.cause);
    throw listenFailure('tracker', config.listen, error.cause);
  }
}

/** What the tracker is told, from what the operator chose. */
export function trackerConfig(config: TrackerOptions): TrackerConfig {
  return {
    listen: config.listen,
    admin: config.admin,
    dataDirectory: config.data,
    isClosed: config.access === 'closed',
    registeredFile: config.registered,
    intervalMs: config.intervalMs,
    peerTtlMs: config.peerTtlMs,
    registrationTtlMs: config.registrationTtlMs,
    maxTorrents: config.maxTorrents,
    maxPeers: config.maxPeers,
    maxConnections: config.maxConnections,
    rates: { perAddress: config.announceRate, total: config.totalRate },
  };
}
