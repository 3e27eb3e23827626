/**
 * All blobs on all links: finds the exchange that a frame belongs to, opens one when a peer joins a blob that is held
 * here, and closes those that nobody uses. It is the handler of every link of this node.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { BlobStore } from '../content/blob-store.ts';
import { asError, isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import { swarmError } from '../swarm/errors.ts';
import { FRAME } from '../swarm/link/frame.ts';
import type { LinkIdentity, VerifySignature } from '../swarm/link/handshake.ts';
import type { LinkMessage } from '../swarm/link/link-message.ts';
import type { Link, LinkHandler } from '../swarm/link/link.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import { Exchange } from './exchange.ts';
import { LocalPieces, type RecentPieces } from './local-pieces.ts';
import { PeerBans } from './peer-bans.ts';
import type { RateLimit } from './rate-limit.ts';
import { servedBytesCounter } from './served-bytes.ts';
import { makeStatements } from './statement.ts';
import type { TransferConfig } from './transfer-config.ts';
import { UploadQueue } from './upload-queue.ts';
import { decodeChannel, decodeJoin, encodeLeave, REFUSAL, type LeaveReason } from './wire.ts';

/** Answers one kind of question of peers. */
export type QuestionHandler = (from: PeerId, message: LinkMessage) => Promise<{ value: unknown; bytes?: Uint8Array }>;

export interface ExchangeHubDeps {
  readonly memory: BufferPool;
  readonly identity: LinkIdentity;
  readonly verify: VerifySignature;
  readonly store: BlobStore;
  readonly recent: RecentPieces;
  readonly uploadRate: RateLimit;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
}

/** An exchange that only serves is closed when no peer took part for so long. */
const SERVING_IDLE_MS = 10_000;
/** Blobs that one peer may take part in at once; each keeps a file open. */
const MAX_CHANNELS_OF_LINK = 512;
/** Bytes of blobs in which no part is taken, or no longer, that a peer may send between two that are wanted. */
const MAX_STRAY_BYTES = 256 * 1024 * 1024;

export class ExchangeHub implements LinkHandler, AsyncDisposable {
  readonly #deps: ExchangeHubDeps;
  readonly #config: TransferConfig;
  readonly #exchanges = new Map<Digest, Exchange>();
  readonly #opening = new Map<Digest, Promise<Exchange | undefined>>();
  readonly #channels = new Map<number, { exchange: Exchange; channel: Channel }>();
  readonly #questions = new Map<string, QuestionHandler>();
  readonly #idle = new Map<Exchange, NodeJS.Timeout>();
  readonly #bans: PeerBans;
  readonly #channelCounts = new Map<Link, number>();
  readonly #strayBytes = new WeakMap<Link, number>();
  readonly #uploads: UploadQueue;
  readonly #countSent: (bytes: number) => void;
  readonly #countBan: (reason: string) => void;
  #nextChannelId = 1;
  #closed = false;
  #dialBack: (link: Link) => void = () => undefined;

  constructor(deps: ExchangeHubDeps, config: TransferConfig) {
    this.#deps = deps;
    this.#config = config;
    const registers = [deps.metrics];
    const toPeers = servedBytesCounter(deps.metrics).labels({ to: 'peer' });
    this.#countSent = (bytes) => toPeers.inc(bytes);
    const bans = new Counter({
      name: 'dockyard_peer_bans_total',
      help: 'Peers banned for a time, by what they did.',
      labelNames: ['reason'],
      registers,
    });
    this.#countBan = (reason) => bans.inc({ reason });
    this.#bans = new PeerBans({ nowMs: () => deps.clock.nowMs() }, config);
    const exchanges = this.#exchanges;
    new Gauge({
      name: 'dockyard_exchanges',
      help: 'Blobs that are being exchanged with peers.',
      registers,
      collect() {
        this.set(exchanges.size);
      },
    });
    this.#uploads = new UploadQueue(
      {
        rate: deps.uploadRate,
        memory: deps.memory,
        onSent: (_channel, bytes) => this.#countSent(bytes),
        onUnreadable: (channel, piece, error) => this.#onUnreadable(channel, piece, error),
      },
      config,
    );
  }

  /** Counts bytes that went to a peer outside of a channel; they count against the upload rate as well. */
  countSent(bytes: number): void {
    this.#deps.uploadRate.spend(bytes);
    this.#countSent(bytes);
  }

  /** The same for bytes that can wait for their turn under the upload rate. */
  async sendInTurn(bytes: number, signal: AbortSignal): Promise<void> {
    await this.#deps.uploadRate.acquire(bytes, { signal });
    this.#countSent(bytes);
  }

  /** What peers wait for. */
  get uploads(): UploadQueue {
    return this.#uploads;
  }

  /** Registers who is told that pieces are being fetched over a link that the peer dialled. */
  onFetchingOverAccepted(dialBack: (link: Link) => void): void {
    this.#dialBack = dialBack;
  }

  /** Registers who answers a kind of question. */
  answer(method: string, handler: QuestionHandler): void {
    this.#questions.set(method, handler);
  }

  get(digest: Digest): Exchange | undefined {
    return this.#exchanges.get(digest);
  }

  /** The exchange of a blob, made if there is none. The caller keeps it by listening, or it closes when idle. */
  obtain(digest: Digest): Exchange {
    const known = this.#exchanges.get(digest);
    if (known !== undefined) return known;
    const exchange = new Exchange(digest, {
      peerId: this.#deps.identity.peerId,
      nextChannelId: (owner, channel) => this.#registerChannel(owner, channel),
      forgetChannel: (channel) => this.#forgetChannel(channel),
      onIdle: (idle) => this.releaseIfIdle(idle),
      uploads: this.#uploads,
      onFetching: (link) => {
        if (link.role === 'listener') this.#dialBack(link);
      },
      memory: this.#deps.memory,
      verify: this.#deps.verify,
      nowMs: () => this.#deps.clock.nowMs(),
      maxWindowBytes: this.#config.maxWindowBytes,
      maxHolders: this.#config.maxHolders,
    });
    this.#exchanges.set(digest, exchange);
    return exchange;
  }

  /** A fresh exchange for one who gathers a blob. One that still serves it ends: the blob was removed from the store. */
  renew(digest: Digest): Exchange {
    const known = this.#exchanges.get(digest);
    if (known !== undefined && known.listener === undefined) void this.discard(known, 'done');
    return this.obtain(digest);
  }

  /** Lets go of an exchange that has no journey, and no peer that lacks something, after a while. */
  releaseIfIdle(exchange: Exchange): void {
    clearTimeout(this.#idle.get(exchange));
    this.#idle.delete(exchange);
    if (this.#closed || exchange.isInUse) return;
    const timer = setTimeout(() => {
      this.#idle.delete(exchange);
      if (!exchange.isInUse) void this.discard(exchange, 'done');
    }, SERVING_IDLE_MS);
    timer.unref();
    this.#idle.set(exchange, timer);
  }

  /** Ends an exchange at once and closes what it has of the blob. */
  async discard(exchange: Exchange, reason: LeaveReason): Promise<void> {
    if (this.#exchanges.get(exchange.digest) === exchange) this.#exchanges.delete(exchange.digest);
    try {
      await exchange.close(reason);
    } catch (thrown) {
      this.#deps.log.warn({ err: asError(thrown), digest: exchange.digest }, 'what was held of a blob did not close');
    }
  }

  /** Leaves a peer alone for a time and drops its link. */
  ban(link: Link, reason: 'wrong-piece' | 'false-map' | 'protocol'): void {
    this.#bans.ban(link.peerId);
    this.#countBan(reason);
    this.#deps.log.warn(
      { peer: link.peerId, address: link.remoteAddress, reason, banMs: this.#config.banMs },
      'peer banned',
    );
    link.close(swarmError('ERR_LINK_REFUSED', `peer ${link.peerId} is banned: ${reason}`));
  }

  isBanned(peerId: PeerId): boolean {
    return this.#bans.isBanned(peerId);
  }

  async onRequest(link: Link, method: string, message: LinkMessage): Promise<{ value: unknown; bytes?: Uint8Array }> {
    const handler = this.#questions.get(method);
    if (handler === undefined) throw swarmError('ERR_LINK_PROTOCOL', `the question '${method}' is not known here`);
    return await handler(link.peerId, message);
  }

  onChannelFrame(link: Link, type: number, payload: Buffer): void {
    if (type === FRAME.join) {
      this.#onJoin(link, payload);
      return;
    }
    const found = this.#find(link, decodeChannel(payload));
    if (found === undefined) return;
    found.exchange.onFrame(found.channel, type, payload);
  }

  onChunk(link: Link, channelId: number, piece: number, offset: number, length: number): Buffer | undefined {
    const found = this.#find(link, channelId);
    if (found === undefined) this.#onStray(link, length);
    else this.#strayBytes.delete(link);
    return found?.channel.target(piece, offset, length);
  }

  onChunkEnd(link: Link, channelId: number, piece: number, _offset: number, length: number): void {
    const found = this.#find(link, channelId);
    if (found !== undefined) found.exchange.onChunkEnd(found.channel, piece, length);
  }

  onDrain(link: Link): void {
    this.#uploads.pump(link);
  }

  onClose(link: Link): void {
    this.#uploads.removeLink(link);
    if (link.error !== undefined) this.#deps.log.debug({ peer: link.peerId, err: link.error }, 'link closed');
    for (const exchange of [...this.#exchanges.values()]) exchange.onLinkClosed(link);
    if (isDockyardError(link.error, 'ERR_LINK_PROTOCOL') && this.#bans.strike(link.peerId)) this.ban(link, 'protocol');
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#idle.values()) clearTimeout(timer);
    await Promise.allSettled(this.#opening.values());
    await Promise.allSettled([...this.#exchanges.values()].map(async (exchange) => await exchange.close('done')));
    this.#exchanges.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #registerChannel(exchange: Exchange, channel: Channel): number {
    const id = this.#nextChannelId;
    this.#nextChannelId = (id % 0xffff_ffff) + 1;
    this.#channels.set(id, { exchange, channel });
    this.#channelCounts.set(channel.link, (this.#channelCounts.get(channel.link) ?? 0) + 1);
    return id;
  }

  #forgetChannel(channel: Channel): void {
    if (!this.#channels.delete(channel.localId)) return;
    const count = (this.#channelCounts.get(channel.link) ?? 1) - 1;
    if (count === 0) this.#channelCounts.delete(channel.link);
    else this.#channelCounts.set(channel.link, count);
  }

  #onStray(link: Link, length: number): void {
    const bytes = (this.#strayBytes.get(link) ?? 0) + length;
    this.#strayBytes.set(link, bytes);
    if (bytes > MAX_STRAY_BYTES) {
      throw swarmError('ERR_LINK_PROTOCOL', `peer ${link.peerId} sends bytes of blobs in which it takes no part`);
    }
  }

  #find(link: Link, channelId: number): { exchange: Exchange; channel: Channel } | undefined {
    const found = this.#channels.get(channelId);
    return found?.channel.link === link || found?.channel.link.partner === link ? found : undefined;
  }

  #onJoin(link: Link, payload: Buffer): void {
    const { channel, join } = decodeJoin(payload);
    const exchange = this.#exchanges.get(join.digest);
    if (exchange !== undefined) {
      if (exchange.takes(link)) exchange.onJoin(link, channel, join);
      else link.send(FRAME.leave, encodeLeave(channel, 'full'));
      return;
    }
    if ((this.#channelCounts.get(link) ?? 0) >= MAX_CHANNELS_OF_LINK) {
      link.send(FRAME.leave, encodeLeave(channel, 'failed'));
      return;
    }
    void this.#openServing(join.digest).then(
      (opened) => {
        if (link.isClosed) {
          if (opened !== undefined) this.releaseIfIdle(opened);
        } else if (opened === undefined) link.send(FRAME.leave, encodeLeave(channel, 'absent'));
        else if (opened.takes(link)) opened.onJoin(link, channel, join);
        else link.send(FRAME.leave, encodeLeave(channel, 'full'));
      },
      (thrown: unknown) => {
        this.#deps.log.warn(
          { err: asError(thrown), digest: join.digest },
          'a held blob could not be opened for a peer',
        );
        if (!link.isClosed) link.send(FRAME.leave, encodeLeave(channel, 'failed'));
      },
    );
  }

  /** An exchange that serves a blob that is held complete. */
  async #openServing(digest: Digest): Promise<Exchange | undefined> {
    let opening = this.#opening.get(digest);
    if (opening === undefined) {
      opening = this.#serve(digest).finally(() => this.#opening.delete(digest));
      this.#opening.set(digest, opening);
    }
    return await opening;
  }

  async #serve(digest: Digest): Promise<Exchange | undefined> {
    const held = await this.#deps.store.open(digest);
    const exchange = this.#exchanges.get(digest);
    if (held === undefined || exchange !== undefined || this.#closed) {
      await held?.close();
      return exchange;
    }
    let hashes: Buffer;
    try {
      hashes = await held.pieceHashes();
    } catch (error) {
      await held.close();
      throw error;
    }
    const meanwhile = this.#exchanges.get(digest);
    if (meanwhile !== undefined || this.#closed) {
      await held.close();
      return meanwhile;
    }
    const { sizeBytes } = held.geometry;
    const made = this.obtain(digest);
    made.setSize(sizeBytes);
    made.map?.replaceAll(makeStatements(this.#deps.identity, { digest, sizeBytes }, hashes));
    made.setLocal(new LocalPieces(held, this.#deps.recent));
    return made;
  }

  #onUnreadable(channel: Channel, piece: number, error: Error | undefined): void {
    const found = this.#find(channel.link, channel.localId);
    if (found === undefined) return;
    if (error !== undefined)
      this.#deps.log.warn({ err: error, digest: found.exchange.digest, piece }, 'a piece could not be read for a peer');
    found.exchange.refuse(channel, REFUSAL.absent, [piece]);
    // It cannot be read by anyone any more, and keeps a file open that was set aside.
    const { exchange } = found;
    if (isDockyardError(error, 'ERR_BLOB_DAMAGED') && exchange.listener === undefined)
      void this.discard(exchange, 'failed');
  }
}
