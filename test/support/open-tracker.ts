/** A real, open tracker in this process. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { openTracker, type DockyardTracker } from '../../tracker/tracker.ts';

/** Starts it on a free port of 127.0.0.1; it keeps nothing. Closed by whoever opened it. */
export async function openLoopbackTracker({ intervalMs = 120_000 } = {}): Promise<DockyardTracker> {
  const anyPort = { host: '127.0.0.1', port: 0 };
  return await openTracker(
    { log: pino({ level: 'silent' }), metrics: new Registry() },
    {
      listen: anyPort,
      admin: anyPort,
      dataDirectory: undefined,
      isClosed: false,
      registeredFile: undefined,
      intervalMs,
      peerTtlMs: 300_000,
      registrationTtlMs: 86_400_000,
      maxTorrents: 1000,
      maxPeers: 10_000,
      maxConnections: 1000,
      rates: { perAddress: Infinity, total: Infinity },
    },
  );
}
