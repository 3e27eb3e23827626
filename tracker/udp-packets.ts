/** Datagrams between tracker and client. @see BEP 15; BEP 41 (options after an announce) */
import {
  MAX_ANSWERED_PEERS,
  USUAL_ANSWERED_PEERS,
  type AnnounceAnswer,
  type AnnounceEvent,
  type ScrapeAnswer,
} from './announce.ts';
import { compactForm } from './http-answers.ts';

const PROTOCOL_ID = 0x41727101980n;
const ACTION = { connect: 0, announce: 1, scrape: 2, error: 3 } as const;
const EVENTS: readonly AnnounceEvent[] = ['update', 'completed', 'started', 'stopped', 'paused'];

const HEAD_BYTES = 16;
const ANNOUNCE_BYTES = 98;
const INFO_HASH_BYTES = 20;
const MAX_SCRAPED = 74;
const OPTION = { end: 0, nop: 1, urlData: 2 } as const;

/** Peers are left out of an answer that would be longer, so that it travels in one piece. */
const MAX_PEERS_BYTES = 1_200;

/** A datagram that was understood. */
export type UdpRequest =
  | { readonly action: 'connect'; readonly transaction: number }
  | {
      readonly action: 'announce';
      readonly transaction: number;
      readonly connectionId: bigint;
      readonly infoHash: string;
      readonly peerId: Buffer;
      readonly isComplete: boolean;
      readonly event: AnnounceEvent;
      readonly wantedPeers: number;
      /** 0 for the port that the datagram came from. */
      readonly port: number;
      readonly proof: string | undefined;
    }
  | {
      readonly action: 'scrape';
      readonly transaction: number;
      readonly connectionId: bigint;
      readonly infoHashes: readonly string[];
    };

/** Reads a datagram; `undefined` for anything that is no request. */
export function readUdpRequest(message: Buffer): UdpRequest | undefined {
  if (message.length < HEAD_BYTES) return undefined;
  const connectionId = message.readBigUInt64BE(0);
  const action = message.readUInt32BE(8);
  const transaction = message.readUInt32BE(12);
  switch (action) {
    case ACTION.connect:
      return connectionId === PROTOCOL_ID ? { action: 'connect', transaction } : undefined;
    case ACTION.announce:
      return readAnnounce(message, connectionId, transaction);
    case ACTION.scrape:
      return readScrape(message, connectionId, transaction);
    default:
      return undefined;
  }
}

function readAnnounce(message: Buffer, connectionId: bigint, transaction: number): UdpRequest | undefined {
  if (message.length < ANNOUNCE_BYTES) return undefined;
  const event = EVENTS[message.readUInt32BE(80)];
  if (event === undefined) return undefined;
  // The address in the announce is passed over: peers would be sent to whomever the sender names.
  const wanted = message.readInt32BE(92);
  return {
    action: 'announce',
    transaction,
    connectionId,
    infoHash: message.toString('hex', 16, 36),
    peerId: message.subarray(36, 56),
    isComplete: message.readBigUInt64BE(64) === 0n,
    event,
    wantedPeers: wanted < 0 ? USUAL_ANSWERED_PEERS : Math.min(wanted, MAX_ANSWERED_PEERS),
    port: message.readUInt16BE(96),
    proof: proofOf(readUrlData(message.subarray(ANNOUNCE_BYTES))),
  };
}

/** Path and query of the announce URL, which may come in several options. */
function readUrlData(options: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at < options.length;) {
    const type = options[at];
    if (type === OPTION.end) break;
    at += 1;
    if (type === OPTION.nop) continue;
    const length = options[at] ?? 0;
    if (type === OPTION.urlData) parts.push(options.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return Buffer.concat(parts).toString('latin1');
}

function proofOf(urlData: string): string | undefined {
  const at = urlData.indexOf('?');
  return at === -1 ? undefined : (new URLSearchParams(urlData.slice(at)).get('proof') ?? undefined);
}

function readScrape(message: Buffer, connectionId: bigint, transaction: number): UdpRequest | undefined {
  const count = (message.length - HEAD_BYTES) / INFO_HASH_BYTES;
  if (!Number.isInteger(count) || count === 0 || count > MAX_SCRAPED) return undefined;
  const infoHashes = Array.from({ length: count }, (_, index) => {
    const at = HEAD_BYTES + index * INFO_HASH_BYTES;
    return message.toString('hex', at, at + INFO_HASH_BYTES);
  });
  return { action: 'scrape', transaction, connectionId, infoHashes };
}

/** The answer to who connects. */
export function connectAnswer(transaction: number, connectionId: bigint): Buffer {
  const answer = headOf(ACTION.connect, transaction, 16);
  answer.writeBigUInt64BE(connectionId, 8);
  return answer;
}

/** The answer to an announce, with the peers of one family. */
export function announceAnswer(
  transaction: number,
  { complete, incomplete, peers }: Pick<AnnounceAnswer, 'complete' | 'incomplete' | 'peers'>,
  intervalMs: number,
): Buffer {
  const head = headOf(ACTION.announce, transaction, 20);
  head.writeUInt32BE(Math.ceil(intervalMs / 1000), 8);
  head.writeUInt32BE(incomplete, 12);
  head.writeUInt32BE(complete, 16);
  const recordBytes = peers[0]?.address.length ?? 0;
  const fitting = recordBytes === 0 ? peers : peers.slice(0, Math.floor(MAX_PEERS_BYTES / recordBytes));
  return Buffer.concat([head, compactForm(fitting)]);
}

/** The answer to a scrape: as many counts as info-hashes, in their order. */
export function scrapeAnswer(transaction: number, files: readonly (ScrapeAnswer | undefined)[]): Buffer {
  const answer = headOf(ACTION.scrape, transaction, 8 + 12 * files.length);
  for (const [index, found] of files.entries()) {
    answer.writeUInt32BE(found?.complete ?? 0, 8 + 12 * index);
    answer.writeUInt32BE(found?.downloaded ?? 0, 12 + 12 * index);
    answer.writeUInt32BE(found?.incomplete ?? 0, 16 + 12 * index);
  }
  return answer;
}

/** The answer to a request that is refused. */
export function errorAnswer(transaction: number, reason: string): Buffer {
  return Buffer.concat([headOf(ACTION.error, transaction, 8), Buffer.from(reason)]);
}

function headOf(action: number, transaction: number, sizeBytes: number): Buffer {
  const answer = Buffer.alloc(sizeBytes);
  answer.writeUInt32BE(action, 0);
  answer.writeUInt32BE(transaction, 4);
  return answer;
}
