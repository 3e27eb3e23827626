/**
 * One announce to one BitTorrent tracker, over HTTP or UDP. An own client, because that of bittorrent-tracker 11 ends the
 * whole process when a tracker breaks off an answer: see docs/decisions/tracker-client.md.
 * @see BEP 3 and 23 (HTTP, compact peers), BEP 7 (IPv6), BEP 15 (UDP)
 */
import { isIPv4 } from 'node:net';
import { asError } from '../oci/error.ts';
import { decodeBencode, type BencodeValue } from './bencode.ts';
import { swarmError } from './errors.ts';
import type { SocketAddress } from './member.ts';
import { announceOverUdp } from './tracker-udp.ts';

/** An answer that is larger is none: 200 peers take 1,200 bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** What is said to a tracker. */
export interface TrackerAnnounce {
  /** 20 bytes. */
  readonly infoHash: Uint8Array;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where this node's data plane listens. */
  readonly port: number;
  readonly event: 'started' | 'stopped' | 'update';
  /** Zero for a holder, more for one who looks for holders. */
  readonly leftBytes: number;
  /** How many peers the answer should hold. */
  readonly wantedPeers: number;
}

/** What a tracker answers. */
export interface TrackerAnswer {
  /** When to announce again. */
  readonly intervalMs: number;
  readonly peers: readonly SocketAddress[];
}

/**
 * Reads a tracker's URL: `http`, `https` or `udp`; `/announce` is meant where no path is given.
 * @throws {DockyardError} ERR_TRACKER_FAILED
 */
export function parseTrackerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const known = url !== undefined && ['http:', 'https:', 'udp:'].includes(url.protocol) && url.hostname !== '';
  if (!known) throw swarmError('ERR_TRACKER_FAILED', `'${text.slice(0, 300)}' is not the URL of a tracker (http, https or udp)`);
  if (url.protocol === 'udp:') {
    if (url.port === '') throw swarmError('ERR_TRACKER_FAILED', `the tracker ${text.slice(0, 300)} has no port`);
  } else if (url.pathname === '/') url.pathname = '/announce';
  return url;
}

/** Announces, and returns the answer. @throws {DockyardError} ERR_TRACKER_FAILED; the signal's reason */
export async function announceToTracker(url: URL, announce: TrackerAnnounce, options: { signal: AbortSignal }): Promise<TrackerAnswer> {
  options.signal.throwIfAborted();
  try {
    return await (url.protocol === 'udp:' ? announceOverUdp(url, announce, options) : announceOverHttp(url, announce, options));
  } catch (error) {
    options.signal.throwIfAborted();
    throw swarmError('ERR_TRACKER_FAILED', `the tracker ${url.host} failed: ${asError(error).message}`, { cause: error });
  }
}

async function announceOverHttp(url: URL, announce: TrackerAnnounce, options: { signal: AbortSignal }): Promise<TrackerAnswer> {
  const response = await fetch(announceUrl(url, announce), options);
  const bytes = await readBounded(response);
  if (!response.ok) throw new Error(`it answered with status ${response.status}`);
  return readAnswer(decodeBencode(bytes));
}

function announceUrl(url: URL, announce: TrackerAnnounce): string {
  const query = new URLSearchParams({
    port: String(announce.port),
    uploaded: '0',
    downloaded: '0',
    left: String(announce.leftBytes),
    compact: '1',
    numwant: String(announce.wantedPeers),
  });
  if (announce.event !== 'update') query.set('event', announce.event);
  // Raw bytes, which URLSearchParams would encode as text.
  const raw = `info_hash=${percentEncode(announce.infoHash)}&peer_id=${percentEncode(announce.peerId)}`;
  return `${url.href}${url.search === '' ? '?' : '&'}${raw}&${query.toString()}`;
}

function percentEncode(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

async function readBounded(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error('its answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads the answer to an announce, as bencoded values. @throws {Error} saying what is wrong with it */
export function readAnswer(answer: BencodeValue): TrackerAnswer {
  if (!(answer instanceof Map)) throw new Error('its answer is no dictionary');
  const failure = answer.get('failure reason');
  if (failure !== undefined) throw new Error(`it refused: ${Buffer.isBuffer(failure) ? printable(failure) : 'no reason given'}`);
  const interval = answer.get('interval');
  if (typeof interval !== 'number' || interval < 0) throw new Error('its answer has no interval');
  const peers = [...readPeers(answer.get('peers'), 4), ...readPeers(answer.get('peers6'), 16)];
  return { intervalMs: interval * 1000, peers };
}

function readPeers(value: BencodeValue | undefined, hostBytes: 4 | 16): SocketAddress[] {
  if (Buffer.isBuffer(value)) return compactPeers(value, hostBytes);
  if (!Array.isArray(value)) return [];
  return value.flatMap((peer) => {
    const [host, port] = peer instanceof Map ? [peer.get('ip'), peer.get('port')] : [];
    const usable = Buffer.isBuffer(host) && typeof port === 'number' && port > 0 && port < 65_536;
    return usable ? [{ host: host.toString('latin1').replace(/^::ffff:/, ''), port }] : [];
  });
}

/** Peers as host bytes and port, one after the other; a piece that is left over is ignored. */
export function compactPeers(bytes: Buffer, hostBytes: 4 | 16): SocketAddress[] {
  const peers: SocketAddress[] = [];
  for (let start = 0; start + hostBytes + 2 <= bytes.length; start += hostBytes + 2) {
    const host = bytes.subarray(start, start + hostBytes);
    const port = bytes.readUInt16BE(start + hostBytes);
    if (port !== 0) peers.push({ host: hostBytes === 4 ? host.join('.') : sixText(host), port });
  }
  return peers;
}

function sixText(host: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => host.readUInt16BE(2 * index).toString(16));
  const mapped = groups.slice(0, 6).join(':') === '0:0:0:0:0:ffff' ? host.subarray(12).join('.') : '';
  return isIPv4(mapped) ? mapped : groups.join(':');
}

function printable(bytes: Buffer): string {
  return bytes.toString('utf8', 0, 200).replaceAll(/[^\x20-\x7e]/g, '?');
}
