/** What is said to trackers, and what their answers mean. */
import { isIPv4 } from 'node:net';
import type { BencodeValue } from '../bencode/bencode.ts';
import type { SocketAddress } from './member.ts';

/** What is said to a tracker. */
export interface TrackerAnnounce {
  /** 20 bytes. */
  readonly infoHash: Uint8Array;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where this node's data plane listens. */
  readonly port: number;
  readonly event: 'started' | 'completed' | 'stopped' | 'update';
  /** Zero for a holder, more for one who looks for holders. */
  readonly leftBytes: number;
  /** To peers and from them; 0 when left out, since trackers are not told of bytes between nodes. */
  readonly sentBytes?: number | undefined;
  readonly receivedBytes?: number | undefined;
  /** How many peers the answer should hold. */
  readonly wantedPeers: number;
  /** By which a closed tracker knows that a holder of the swarm key announces: see tracker-proof.ts. */
  readonly proof?: string | undefined;
}

/** What a tracker that works says to an announce that it does not take. */
export class TrackerRefusal extends Error {
  /** After how long it may be tried again, where the tracker says so. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, retryAfterMs?: number) {
    super(`it refused: ${reason}`);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a tracker answers. */
export interface TrackerAnswer {
  /** When to announce again. */
  readonly intervalMs: number;
  readonly peers: readonly SocketAddress[];
}

/** Reads the answer to an announce, as bencoded values. @throws {TrackerRefusal}; {Error} saying what is wrong with it */
export function readAnswer(answer: BencodeValue): TrackerAnswer {
  if (!(answer instanceof Map)) throw new Error('its answer is no dictionary');
  const failure = answer.get('failure reason');
  if (failure !== undefined)
    throw new TrackerRefusal(
      Buffer.isBuffer(failure) ? printable(failure) : 'no reason given',
      retryAfterMs(answer.get('retry in')),
    );
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

/** Minutes, as a number or as text; `never` is for as long as can be said. @see BEP 31 */
function retryAfterMs(value: BencodeValue | undefined): number | undefined {
  const text = Buffer.isBuffer(value) ? value.toString('latin1') : typeof value === 'number' ? String(value) : '';
  if (text === 'never') return Infinity;
  return /^\d{1,6}$/.test(text) ? Number(text) * 60_000 : undefined;
}

function printable(bytes: Buffer): string {
  return bytes.toString('utf8', 0, 200).replaceAll(/[^\x20-\x7e]/g, '?');
}
