/**
 * How many files this process may have open. Where none is left, connections of clients are closed without a word, and the node's own
 * work fails: so clients get a share at most, and an operator is told when the limit is low.
 */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';

/** Connections and files of a busy node, and as many clients. */
const FEW_FILES = 1024;
/** Of the files that may be open, this share at most for connections of clients. */
const CLIENT_SHARE = 0.5;

/** The limit, as the system tells it of this process; undefined where it tells none. */
export function openFileLimit(path = '/proc/self/limits'): number | undefined {
  try {
    const [, count] = /^Max open files\s+(\d+)/m.exec(readFileSync(path, 'utf8')) ?? [];
    return count === undefined ? undefined : Number(count);
  } catch {
    return undefined;
  }
}

/** As many connections of clients as the limit leaves room for. Tells the operator of a low one. */
export function connectionsWithin(limit: number | undefined, maxConnections: number, log: Logger): number {
  if (limit === undefined) return maxConnections;
  const room = Math.max(1, Math.floor(limit * CLIENT_SHARE));
  if (limit < FEW_FILES) {
    const what =
      'few files may be open: raise the limit (LimitNOFILE=65536 of systemd, --ulimit nofile=65536 of docker)';
    log.warn({ limit, clientConnections: Math.min(room, maxConnections) }, what);
  }
  return Math.min(room, maxConnections);
}
