/** A member that holds the keys it must hold and does not keep to the protocol: what it does is set by the test. */
import { hash } from 'node:crypto';
import { pino } from 'pino';
import { pieceGeometry, pieceRange } from '../../src/content/geometry.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { generateIdentity, verifyPeerSignature, type Identity } from '../../src/swarm/identity.ts';
import { FRAME, MAX_CHUNK_BYTES } from '../../src/swarm/link/frame.ts';
import { LinkNetwork } from '../../src/swarm/link/link-network.ts';
import type { LinkMessage } from '../../src/swarm/link/link-message.ts';
import type { Link, LinkHandler } from '../../src/swarm/link/link.ts';
import type { Member, PeerId } from '../../src/swarm/member.ts';
import { encodeStatement, makeStatement } from '../../src/transfer/statement.ts';
import { decodeJoin, decodePieces, encodeJoin, encodeRefuse, REFUSAL } from '../../src/transfer/wire.ts';
import type { Testnet } from './testnet.ts';

/** Sends what was asked for, or something else. `remoteId` is the asking side's channel. */
export type Conduct = (link: Link, remoteId: number, piece: number, bytes: Buffer) => void;

export interface Offer {
  /** What its pieces are cut from. */
  readonly bytes: Buffer;
  /** What its piece map is made of, when that is something else. */
  readonly mapOf?: Buffer;
  /** For how many of the first pieces it gives hashes; all when undefined. */
  readonly mapCount?: number;
  /** The size that it claims. */
  readonly sizeBytes?: number;
  readonly conduct?: Conduct;
  /** Whom it names as holders beside itself. */
  readonly others?: readonly Member[];
  /** Bytes beside the answer to `locate`, as a home gives them for a small blob. */
  readonly inline?: Buffer;
}

/** Sends a piece as an honest node does. */
export const sendHonestly: Conduct = (link, remoteId, piece, bytes) => {
  for (let at = 0; at < bytes.length; at += MAX_CHUNK_BYTES) {
    link.sendChunk(remoteId, piece, at, bytes.subarray(at, at + MAX_CHUNK_BYTES));
  }
};

/** One wrong bit in every piece. */
export const sendFlipped: Conduct = (link, remoteId, piece, bytes) => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(0) ^ 0x10, 0);
  sendHonestly(link, remoteId, piece, copy);
};

/** Says yes and sends nothing. */
export const sendNothing: Conduct = () => undefined;

/** Sends more than the piece has. */
export const sendTooMuch: Conduct = (link, remoteId, piece, bytes) => {
  sendHonestly(link, remoteId, piece, Buffer.concat([bytes, bytes]));
};

/** Sends half of each piece, and calls that all. */
export const sendHalf: Conduct = (link, remoteId, piece, bytes) => {
  sendHonestly(link, remoteId, piece, bytes.subarray(0, bytes.length / 2));
};

/** Sends the same bytes without end, as long as the link takes them. */
export const sendEndlessly: Conduct = (link, remoteId, piece, bytes) => {
  const timer = setInterval(() => {
    if (link.isClosed) clearInterval(timer);
    else sendHonestly(link, remoteId, piece, bytes);
  }, 1);
};

/** Sends one byte at a time, never fast enough to be of use and never still for long. */
export function drip(everyMs: number): Conduct {
  return (link, remoteId, piece, bytes) => {
    let at = 0;
    const timer = setInterval(() => {
      if (link.isClosed || at >= bytes.length) clearInterval(timer);
      else link.sendChunk(remoteId, piece, at, bytes.subarray(at, at + 1));
      at += 1;
    }, everyMs);
  };
}

/** Says that it has too much to do, always. */
export const sayBusy: Conduct = (link, remoteId, piece) => {
  link.send(FRAME.refuse, encodeRefuse(remoteId, REFUSAL.busy, [piece]));
};

export class HostileNode implements LinkHandler {
  readonly identity: Identity = generateIdentity();
  readonly offers = new Map<Digest, Offer>();
  /** Frames that came, by type. */
  readonly seen: { type: number; payload: Buffer }[] = [];
  /** Pieces that were asked of it. */
  askedCount = 0;
  /** Links over which pieces were asked of it. */
  readonly askedOver = new Set<Link>();
  readonly #digests = new Map<Link, Map<number, { digest: Digest; remoteId: number }>>();
  #network: LinkNetwork | undefined;
  #nextChannel = 1;

  /** Opens one and makes it a member of the net; it is closed with the net. */
  static async open(
    net: Pick<Testnet, 'enrol' | 'onClose'>,
    options: { memberKey?: Buffer } = {},
  ): Promise<HostileNode> {
    const node = new HostileNode();
    node.#network = await LinkNetwork.open(
      {
        handshake: { identity: node.identity, verify: verifyPeerSignature, memberKey: options.memberKey },
        handler: node,
        log: pino({ level: 'silent' }),
        clock: { nowMs: () => performance.now() },
        isBanned: () => false,
      },
      {
        listen: { host: '127.0.0.1', port: 0 },
        maxLinks: 64,
        maxPendingHandshakes: 64,
        connectTimeoutMs: 2000,
        idleTimeoutMs: 60_000,
        silenceTimeoutMs: 15_000,
      },
    );
    net.enrol(node.member);
    net.onClose(async () => await node.close());
    return node;
  }

  get peerId(): PeerId {
    return this.identity.peerId;
  }

  get network(): LinkNetwork {
    if (this.#network === undefined) throw new Error('it is not open');
    return this.#network;
  }

  get member(): Member {
    const address = { host: '127.0.0.1', port: this.network.port };
    return { peerId: this.peerId, dataAddresses: [address], topology: '' };
  }

  /** Connects to a member. */
  async dial(member: Member): Promise<Link> {
    return await this.network.connect({ peerId: member.peerId, addresses: member.dataAddresses });
  }

  async close(): Promise<void> {
    await this.#network?.close();
  }

  async onRequest(_link: Link, method: string, message: LinkMessage): Promise<{ value: unknown; bytes?: Uint8Array }> {
    const { digest } = message.value as { digest?: Digest };
    const offer = digest === undefined ? undefined : this.offers.get(digest);
    if (method !== 'locate' || offer === undefined) return await Promise.resolve({ value: {} });
    if (offer.inline !== undefined)
      return { value: { sizeBytes: offer.inline.length, holders: [], inline: true }, bytes: offer.inline };
    const named = [this.member, ...(offer.others ?? [])];
    const holders = named.map((member) => ({ peerId: member.peerId, addresses: member.dataAddresses }));
    return { value: { sizeBytes: offer.sizeBytes ?? offer.bytes.length, holders, inline: false } };
  }

  onChannelFrame(link: Link, type: number, payload: Buffer): void {
    this.seen.push({ type, payload });
    if (type === FRAME.join) this.#onJoin(link, payload);
    else if (type === FRAME.want) this.#onWant(link, payload);
  }

  onChunk(): undefined {
    return undefined;
  }
  onChunkEnd(): void {
    // It takes nothing.
  }
  onDrain(): void {
    // It sends without asking whether there is room.
  }
  onClose(link: Link): void {
    this.#digests.delete(link);
  }

  #onJoin(link: Link, payload: Buffer): void {
    const { channel: remoteId, join } = decodeJoin(payload);
    const offer = this.offers.get(join.digest);
    if (offer === undefined) return;
    const channels = this.#digests.get(link) ?? new Map<number, { digest: Digest; remoteId: number }>();
    this.#digests.set(link, channels);
    if ([...channels.values()].some((known) => known.digest === join.digest)) return;
    const own = this.#nextChannel++;
    channels.set(own, { digest: join.digest, remoteId });
    const sizeBytes = offer.sizeBytes ?? offer.bytes.length;
    link.send(FRAME.join, encodeJoin(own, { digest: join.digest, sizeBytes, complete: true, bitfield: undefined }));
    const mapOf = offer.mapOf ?? offer.bytes;
    const geometry = pieceGeometry(mapOf.length);
    const hashes = Array.from({ length: offer.mapCount ?? geometry.pieceCount }, (_, piece) => {
      const { start, end } = pieceRange(geometry, piece);
      return hash('sha256', mapOf.subarray(start, end), 'buffer');
    });
    const statement = makeStatement(this.identity, { digest: join.digest, sizeBytes }, 0, Buffer.concat(hashes));
    link.send(FRAME.hashes, encodeStatement(remoteId, statement));
  }

  #onWant(link: Link, payload: Buffer): void {
    const found = this.#digests.get(link)?.get(payload.readUInt32BE(0));
    const offer = found === undefined ? undefined : this.offers.get(found.digest);
    if (found === undefined || offer === undefined) return;
    const geometry = pieceGeometry(offer.bytes.length);
    for (const piece of decodePieces(payload)) {
      this.askedCount += 1;
      this.askedOver.add(link);
      const { start, end } = pieceRange(geometry, piece);
      (offer.conduct ?? sendHonestly)(link, found.remoteId, piece, offer.bytes.subarray(start, end));
    }
  }
}
