/** A torrent whose blob belongs into the store of a node that is running: the node fetches it itself, and this process looks on. */
import { isDockyardError } from '../../src/oci/error.ts';
import { encodeMetainfo, type Metainfo } from '../../src/torrent/metainfo.ts';
import { AdminClient } from '../cli/admin-client.ts';
import { formatHostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import type { FetchProgress } from './progress.ts';
import { SilenceWatch } from './silence-watch.ts';

export interface HandedOver {
  readonly metainfo: Metainfo;
  /** Whose store it is to go to. */
  readonly directory: string;
  readonly peers: readonly string[];
  readonly silenceTimeoutMs: number;
}

/**
 * Lets the running node fetch it; false when no node answers, or one that has another store.
 * @throws {DockyardError} ERR_ADMIN_ANSWER with what the node says; ERR_FETCH_STALLED
 */
export async function handOver(
  { config, progress }: { readonly config: NodeConfig; readonly progress: FetchProgress },
  { metainfo, directory, peers, silenceTimeoutMs }: HandedOver,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<boolean> {
  const node = new AdminClient(`http://${formatHostPort(config.admin)}`);
  const found = await node.status().catch((error: unknown) => {
    if (isDockyardError(error, 'ERR_ADMIN_UNREACHABLE')) return undefined;
    throw error;
  });
  if (found?.dataDirectory !== directory) return false;
  using silence = new SilenceWatch(silenceTimeoutMs, signal);
  progress.totalBytes = metainfo.info.sizeBytes;
  progress.phase = 'fetching';
  const request = { torrent: encodeMetainfo(metainfo), peers };
  for await (const { heldBytes, peerCount } of node.takeTorrent(request, { signal: silence.signal })) {
    if (heldBytes > progress.doneBytes) silence.heard();
    progress.receivedBytes = Math.max(progress.receivedBytes, heldBytes);
    progress.doneBytes = heldBytes;
    progress.peerCount = peerCount;
  }
  progress.phase = 'done';
  return true;
}
