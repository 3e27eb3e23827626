/** Answers over HTTP, bencoded where the library does not do it. Keys of dictionaries stand in order. @see BEP 3, 23, 31, 48 */
import { hostOf } from './address.ts';
import type { AnnounceAnswer, ScrapeAnswer } from './announce.ts';
import type { ListedPeer } from './peer-list.ts';

/** The least time between announces of one torrent by one client. */
export const MIN_INTERVAL_MS = 30_000;

/** The answer to an announce, as values for the library to bencode. */
export function encodeAnswer(
  { complete, incomplete, peers, peers6 }: AnnounceAnswer,
  { intervalMs, isCompact }: { readonly intervalMs: number; readonly isCompact: boolean },
): object {
  const counts = {
    complete,
    incomplete,
    interval: Math.ceil(intervalMs / 1000),
    'min interval': Math.ceil(Math.min(intervalMs, MIN_INTERVAL_MS) / 1000),
  };
  // The long form has no second list for IPv6.
  if (!isCompact) return { ...counts, peers: [...peers, ...peers6].map(longForm) };
  const compact = { ...counts, peers: compactForm(peers) };
  return peers6.length === 0 ? compact : { ...compact, peers6: compactForm(peers6) };
}

/** Addresses and ports, one after the other. */
export function compactForm(peers: readonly ListedPeer[]): Buffer {
  return Buffer.concat(peers.map(({ address }) => address));
}

function longForm({ address, peerId }: ListedPeer): object {
  return { ip: hostOf(address), 'peer id': peerId, port: address.readUInt16BE(address.length - 2) };
}

/** Why a request is refused, and when it may be tried again: whole minutes are what clients are told. */
export function encodeFailure(reason: string, retryAfterSeconds?: number): Buffer {
  const text = Buffer.from(reason);
  const retry = retryAfterSeconds === undefined ? '' : `8:retry ini${Math.ceil(retryAfterSeconds / 60)}e`;
  return Buffer.concat([Buffer.from(`d14:failure reason${text.length}:`), text, Buffer.from(`${retry}e`)]);
}

/** The answer to a scrape; of a torrent without peers all is zero. */
export function encodeScrape(files: ReadonlyMap<string, ScrapeAnswer | undefined>): Buffer {
  const parts = [...files]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([infoHash, found]) => {
      const { complete, downloaded, incomplete } = found ?? { complete: 0, downloaded: 0, incomplete: 0 };
      const counts = `d8:completei${complete}e10:downloadedi${downloaded}e10:incompletei${incomplete}ee`;
      return [Buffer.from('20:'), Buffer.from(infoHash, 'hex'), Buffer.from(counts)];
    });
  return Buffer.concat([Buffer.from('d5:filesd'), ...parts, Buffer.from('ee')]);
}
