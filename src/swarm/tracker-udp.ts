/** Announces over UDP: a connection id first, then the announce; each is sent again while no answer comes. @see BEP 15, 41 */
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { compactPeers, TrackerRefusal, type TrackerAnnounce, type TrackerAnswer } from './tracker-answer.ts';

const PROTOCOL_ID = 0x41727101980n;
const ACTION = { connect: 0, announce: 1, error: 3 } as const;
const EVENTS = { update: 0, completed: 1, started: 2, stopped: 3 } as const;

/** A datagram may be lost: it is sent again after this time, until the caller's signal ends it. */
const RESEND_MS = 1_000;

/** An option that carries path and query of the announce URL, in pieces of this size at most. */
const URL_DATA = 2;
const MAX_OPTION_BYTES = 255;

/** @throws {Error} saying what the tracker answered; the signal's reason */
export async function announceOverUdp(
  url: URL,
  announce: TrackerAnnounce,
  options: { signal: AbortSignal },
): Promise<TrackerAnswer> {
  const { address, family } = await lookup(url.hostname.replaceAll(/[[\]]/g, ''));
  options.signal.throwIfAborted();
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  try {
    socket.connect(Number(url.port), address);
    await once(socket, 'connect', options);
    const connected = await ask(socket, ACTION.connect, PROTOCOL_ID, Buffer.alloc(0), options.signal);
    if (connected.length < 16) throw new Error('its answer is too short');
    const answer = await ask(
      socket,
      ACTION.announce,
      connected.readBigUInt64BE(8),
      Buffer.concat([announceBody(announce), urlData(url, announce)]),
      options.signal,
    );
    if (answer.length < 20) throw new Error('its answer is too short');
    return {
      intervalMs: answer.readUInt32BE(8) * 1000,
      peers: compactPeers(answer.subarray(20), family === 6 ? 16 : 4),
    };
  } finally {
    socket.close();
  }
}

/** Sends one request until its answer comes. */
async function ask(
  socket: Socket,
  action: number,
  connectionId: bigint,
  body: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const transaction = randomInt(2 ** 32);
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(connectionId, 0);
  head.writeUInt32BE(action, 8);
  head.writeUInt32BE(transaction, 12);
  const request = Buffer.concat([head, body]);
  const resend = setInterval(() => socket.send(request), RESEND_MS);
  try {
    socket.send(request);
    for (;;) {
      const [answer] = (await once(socket, 'message', { signal })) as [Buffer];
      if (answer.length < 8 || answer.readUInt32BE(4) !== transaction) continue;
      const answered = answer.readUInt32BE(0);
      if (answered === ACTION.error)
        throw new TrackerRefusal(answer.toString('latin1', 8, 208).replaceAll(/[^\x20-\x7e]/g, '?'));
      if (answered === action) return answer;
    }
  } finally {
    clearInterval(resend);
  }
}

/** Path and query of the URL with the proof, as far as there is anything to say. */
function urlData(url: URL, { proof }: TrackerAnnounce): Buffer {
  const query = new URLSearchParams(url.search);
  if (proof !== undefined) query.set('proof', proof);
  if (query.size === 0) return Buffer.alloc(0);
  const text = Buffer.from(`${url.pathname === '' ? '/announce' : url.pathname}?${query.toString()}`);
  const options: Buffer[] = [];
  for (let at = 0; at < text.length; at += MAX_OPTION_BYTES) {
    const part = text.subarray(at, at + MAX_OPTION_BYTES);
    options.push(Buffer.of(URL_DATA, part.length), part);
  }
  return Buffer.concat(options);
}

function announceBody(announce: TrackerAnnounce): Buffer {
  const body = Buffer.alloc(82);
  body.set(announce.infoHash.subarray(0, 20), 0);
  body.set(announce.peerId.subarray(0, 20), 20);
  body.writeBigUInt64BE(BigInt(announce.receivedBytes ?? 0), 40);
  body.writeBigUInt64BE(BigInt(announce.leftBytes), 48);
  body.writeBigUInt64BE(BigInt(announce.sentBytes ?? 0), 56);
  body.writeUInt32BE(EVENTS[announce.event], 64);
  body.writeUInt32BE(announce.wantedPeers, 76);
  body.writeUInt16BE(announce.port, 80);
  return body;
}
