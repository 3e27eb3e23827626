/** Trackers for the torrent engine: the client of the swarm, with the proof by which a closed tracker lets a torrent in. */
import { isDockyardError } from '../../src/oci/error.ts';
import { formatSocketAddress } from '../../src/swarm/socket-address.ts';
import type { SwarmKey } from '../../src/swarm/swarm-key.ts';
import { TrackerRefusal } from '../../src/swarm/tracker-answer.ts';
import { announceToTracker, parseTrackerUrl } from '../../src/swarm/tracker-client.ts';
import { TrackerProof } from '../../src/swarm/tracker-proof.ts';
import type { TorrentTrackerClient } from '../../src/torrent/tracker-port.ts';

/** @param trusted who is given proofs: the trackers of the configuration, and not those of a stranger's torrent */
export function torrentTrackers(swarmKey: SwarmKey | undefined, trusted: readonly string[]): TorrentTrackerClient {
  const proof = swarmKey === undefined ? undefined : new TrackerProof(swarmKey);
  const own = new Set(trusted.map((url) => parseTrackerUrl(url).href));
  return {
    announce: async (text, announce, options) => {
      const url = parseTrackerUrl(text);
      const infoHash = Buffer.from(announce.infoHash, 'hex');
      const proven = own.has(url.href) ? proof?.prove(infoHash, Date.now()) : undefined;
      try {
        const answer = await announceToTracker(url, { ...announce, infoHash, proof: proven }, options);
        const peers = answer.peers.map(formatSocketAddress);
        return { kind: 'answer', intervalMs: answer.intervalMs, peers };
      } catch (error) {
        const refusal = isDockyardError(error, 'ERR_TRACKER_FAILED') ? error.cause : undefined;
        if (!(refusal instanceof TrackerRefusal)) throw error;
        return { kind: 'refusal', reason: refusal.message, retryAfterMs: refusal.retryAfterMs };
      }
    },
  };
}
