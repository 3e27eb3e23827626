/**
 * One blob on this node, towards the peers: a channel for each peer that takes part, what this node has of the blob, and
 * the piece map. It serves what is asked; what comes in goes to the journey, if there is one.
 */
import type { BufferPool } from '../content/buffer-pool.ts';
import { pieceGeometry, type PieceGeometry } from '../content/geometry.ts';
import type { Digest } from '../oci/digest.ts';
import { swarmError } from '../swarm/errors.ts';
import type { Link } from '../swarm/link/link.ts';
import type { PeerId } from '../swarm/member.ts';
import { FRAME } from '../swarm/link/frame.ts';
import type { VerifySignature } from '../swarm/link/handshake.ts';
import { Channel } from './channel.ts';
import { isFull } from './crowding.ts';
import { HashNeeds } from './hash-needs.ts';
import { HolderPace } from './holder-pace.ts';
import type { LocalPieces } from './local-pieces.ts';
import { PeerNews } from './peer-news.ts';
import { PieceMap } from './piece-map.ts';
import { decodeStatement, isAuthentic, type Statement } from './statement.ts';
import type { UploadQueue } from './upload-queue.ts';
import * as wire from './wire.ts';

/** What a journey wants to hear. */
export interface ExchangeListener {
  /** The peer has told its state, or a new one. */
  onJoined(channel: Channel): void;
  onHave(channel: Channel, pieces: readonly number[]): void;
  onHashes(pieces: readonly number[]): void;
  /** The bytes are the listener's. */
  onPiece(channel: Channel, piece: number, bytes: Buffer): void;
  onRefused(channel: Channel, reason: number, pieces: readonly number[]): void;
  /** The peer asks for pieces, which it gets in its turn. */
  onWanted(channel: Channel, pieces: readonly number[]): void;
  /** A peer that is busy names others. */
  onOthers(peerIds: readonly PeerId[]): void;
  onLeft(channel: Channel, reason: wire.LeaveReason | 'closed'): void;
}

export interface ExchangeDeps {
  /** This node's own. */
  readonly peerId: PeerId;
  readonly memory: BufferPool;
  readonly nextChannelId: (exchange: Exchange, channel: Channel) => number;
  readonly forgetChannel: (channel: Channel) => void;
  /** No peer that lacks something takes part any more. */
  readonly onIdle: (exchange: Exchange) => void;
  readonly uploads: UploadQueue;
  /** Pieces are being asked for over this link. */
  readonly onFetching: (link: Link) => void;
  readonly verify: VerifySignature;
  readonly nowMs: () => number;
  readonly maxWindowBytes: number;
  /** Holders that a journey looks for. */
  readonly maxHolders: number;
}

/** A peer is told of others no more often. */
const NAME_OTHERS_MS = 2000;

export class Exchange {
  readonly digest: Digest;
  readonly #deps: ExchangeDeps;
  readonly #channels = new Map<Link, Channel>();
  readonly #news: PeerNews;
  readonly #needs: HashNeeds;
  #geometry: PieceGeometry | undefined;
  #map: PieceMap | undefined;
  #local: LocalPieces | undefined;
  listener: ExchangeListener | undefined;

  constructor(digest: Digest, deps: ExchangeDeps) {
    this.digest = digest;
    this.#deps = deps;
    const map = (): PieceMap | undefined => this.#map;
    const isAuthenticStatement = (statement: Statement): boolean => isAuthentic(statement, digest, deps.verify);
    const { peerId, nowMs } = deps;
    this.#news = new PeerNews({ peerId, channels: this.#channels, map, isAuthentic: isAuthenticStatement, nowMs });
    this.#needs = new HashNeeds({
      map,
      nowMs,
      ask: (channel, runs) => {
        if (channel.remoteId !== undefined) channel.link.send(FRAME.need, wire.encodeRuns(channel.remoteId, runs));
      },
    });
  }

  get geometry(): PieceGeometry | undefined {
    return this.#geometry;
  }

  get map(): PieceMap | undefined {
    return this.#map;
  }

  get local(): LocalPieces | undefined {
    return this.#local;
  }

  /** Channels, those included whose peer has not answered yet. */
  get channels(): ReadonlyMap<Link, Channel> {
    return this.#channels;
  }

  /** Somebody here gathers the blob, or some peer lacks a part of it. Peers that have all only keep a file open. */
  get isInUse(): boolean {
    return this.listener !== undefined || [...this.#channels.values()].some((channel) => !channel.remoteComplete);
  }

  /** The blob's length is known now. */
  setSize(sizeBytes: number): void {
    if (this.#geometry !== undefined) return;
    this.#geometry = pieceGeometry(sizeBytes);
    this.#map = new PieceMap(this.#geometry);
    for (const channel of [...this.#channels.values()]) {
      if (!channel.isJoined) continue;
      if (channel.remoteSizeBytes === undefined || channel.remoteSizeBytes === sizeBytes) {
        this.#bind(channel);
        this.#needs.onHas(channel, this.#piecesOf(channel));
      } else this.leave(channel, 'size-differs');
    }
  }

  /** What this node has; from now on peers are served. */
  setLocal(local: LocalPieces): void {
    this.#local = local;
    for (const channel of this.#channels.values()) this.#sendJoin(channel);
  }

  /** Asks the peer of a link to take part; its answer comes as `onJoined` or `onLeft`. */
  join(link: Link): Channel {
    const known = this.#channels.get(link);
    if (known !== undefined) return known;
    const channel = this.#open(link);
    this.#sendJoin(channel);
    return channel;
  }

  /** Ends the part of one peer. */
  leave(channel: Channel, reason: wire.LeaveReason): void {
    if (channel.remoteId !== undefined) channel.link.send(FRAME.leave, wire.encodeLeave(channel.remoteId, reason));
    this.#remove(channel, undefined);
  }

  leaveAll(reason: wire.LeaveReason): void {
    for (const channel of [...this.#channels.values()]) this.leave(channel, reason);
  }

  /** Asks a peer for pieces. */
  ask(channel: Channel, pieces: readonly number[]): void {
    if (channel.remoteId === undefined || pieces.length === 0) return;
    channel.markAsked(pieces);
    this.#deps.onFetching(channel.link);
    channel.link.send(FRAME.want, wire.encodePieces(channel.remoteId, pieces));
  }

  /** Takes a request back. */
  cancel(channel: Channel, pieces: readonly number[]): void {
    const asked = pieces.filter((piece) => channel.forget(piece));
    if (channel.remoteId === undefined || asked.length === 0) return;
    channel.link.send(FRAME.cancel, wire.encodePieces(channel.remoteId, asked));
  }

  /** Makes a statement known to all who can use it. */
  publish(statement: Statement): void {
    this.#news.publish(statement);
  }

  /** A piece is held, and newcomers are not to see it before all are told. */
  hide(piece: number): void {
    this.#news.hide(piece);
  }

  /** Pieces that were hidden and never told to all. */
  get hidden(): ReadonlySet<number> {
    return this.#news.hidden;
  }

  /** Tells that this node has a piece: to one peer, or to all that lack it. */
  announce(piece: number, only?: Channel): void {
    this.#news.announce(piece, only);
  }

  /**
   * The blob is complete and verified: this node's own statements over all of it take the place of the others. Those who have all of it
   * are told too: they keep its file open for as long as they think that somebody lacks something.
   */
  becomeComplete(statements: readonly Statement[]): void {
    this.#map?.replaceAll(statements);
    this.#news.flush();
    for (const channel of this.#channels.values()) {
      if (!channel.isJoined) continue;
      this.#news.sendOwnStatements(channel);
      this.#sendJoin(channel);
    }
  }

  /** Whether the peer of a link may take part: it does already, or there is room. */
  takes(link: Link): boolean {
    return this.#channels.has(link) || !isFull(this.#channels.size, this.#deps.maxHolders);
  }

  onJoin(link: Link, remoteId: number, join: wire.Join): void {
    const channel = this.#channels.get(link) ?? this.#open(link);
    const isAnswer = channel.isJoined || channel.joinSent;
    if (this.#geometry !== undefined && join.sizeBytes !== undefined && join.sizeBytes !== this.#geometry.sizeBytes) {
      channel.remoteId = remoteId;
      this.leave(channel, 'size-differs');
      this.listener?.onLeft(channel, 'size-differs');
      return;
    }
    channel.onJoin(remoteId, join);
    if (this.#geometry !== undefined) this.#bind(channel);
    if (!isAnswer) this.#sendJoin(channel);
    this.#news.sendOwnStatements(channel);
    this.#needs.onHas(channel, this.#piecesOf(channel));
    this.listener?.onJoined(channel);
    this.#tellIfIdle();
  }

  /** A frame of one of this blob's channels, `join` excepted. */
  onFrame(channel: Channel, type: number, payload: Buffer): void {
    if (type === FRAME.leave) this.#remove(channel, wire.decodeLeave(payload).reason);
    else if (type === FRAME.have) this.#onHave(channel, wire.decodeRuns(payload));
    else if (type === FRAME.want) this.#onWant(channel, wire.decodePieces(payload));
    else if (type === FRAME.hashes) this.#onHashes(channel, decodeStatement(payload));
    else if (type === FRAME.cancel) this.#deps.uploads.cancel(channel, new Set(wire.decodePieces(payload)));
    else if (type === FRAME.refuse) this.#onRefuse(channel, payload);
    else if (type === FRAME.need) this.#onNeed(channel, wire.decodeRuns(payload));
    else if (type === FRAME.others) this.listener?.onOthers(wire.decodeOthers(payload));
  }

  onChunkEnd(channel: Channel, piece: number, length: number): void {
    channel.pace.onBytes(length, this.#deps.nowMs());
    const bytes = channel.onChunkEnd(piece, length);
    if (bytes !== undefined) this.listener?.onPiece(channel, piece, bytes);
  }

  onLinkClosed(link: Link): void {
    const channel = this.#channels.get(link);
    if (channel !== undefined) this.#remove(channel, 'closed');
  }

  /** Leaves all peers and closes what is held; `reason` is what they are told. */
  async close(reason: wire.LeaveReason): Promise<void> {
    this.#news.close();
    this.#needs.close();
    this.leaveAll(reason);
    await this.#local?.close();
    this.#local = undefined;
  }

  #open(link: Link): Channel {
    const nowMs = this.#deps.nowMs();
    const pace = new HolderPace(nowMs, this.#deps.maxWindowBytes);
    const channel = new Channel(
      link,
      (opened) => this.#deps.nextChannelId(this, opened),
      pace,
      this.#deps.memory,
      nowMs,
    );
    this.#channels.set(link, channel);
    return channel;
  }

  #bind(channel: Channel): void {
    if (this.#geometry !== undefined) channel.bind(this.#geometry);
  }

  #sendJoin(channel: Channel): void {
    channel.joinSent = true;
    const local = this.#local;
    const bits = local?.bitfield();
    const join = {
      digest: this.digest,
      sizeBytes: this.#geometry?.sizeBytes,
      complete: local?.isComplete ?? false,
      bitfield: bits === undefined ? undefined : this.#news.shown(bits),
    };
    channel.link.send(FRAME.join, wire.encodeJoin(channel.localId, join));
  }

  #onHave(channel: Channel, runs: readonly wire.PieceRun[]): void {
    const news: number[] = [];
    if (this.#geometry === undefined) return;
    for (const piece of wire.piecesOf(runs, this.#geometry.pieceCount)) {
      if (channel.setRemoteHas(piece)) news.push(piece);
    }
    if (news.length === 0) return;
    this.#needs.onHas(channel, news);
    this.listener?.onHave(channel, news);
    if (channel.remoteComplete) this.#tellIfIdle();
  }

  *#piecesOf(channel: Channel): Generator<number> {
    const count = channel.remoteHasAny ? (this.#geometry?.pieceCount ?? 0) : 0;
    for (let piece = 0; piece < count; piece += 1) if (channel.remoteHas(piece)) yield piece;
  }

  #onNeed(channel: Channel, runs: readonly wire.PieceRun[]): void {
    if (this.#geometry === undefined || this.#map === undefined) return;
    const pieces = new Set(wire.piecesOf(runs, this.#geometry.pieceCount));
    for (const statement of this.#map.statementsAbout(pieces)) this.#news.answer(channel, statement);
  }

  #onWant(channel: Channel, pieces: readonly number[]): void {
    const local = this.#local;
    const held = pieces.filter((piece) => local?.has(piece) === true);
    const read = async (piece: number): Promise<Buffer | undefined> =>
      local !== undefined && local.has(piece) ? await local.read(piece) : undefined;
    this.listener?.onWanted(channel, held);
    const busy = this.#deps.uploads.add(channel, held, read);
    if (busy.length > 0) {
      this.refuse(channel, wire.REFUSAL.busy, busy);
      this.#nameOthers(channel);
    }
    if (held.length < pieces.length) {
      const heldSet = new Set(held);
      this.refuse(
        channel,
        wire.REFUSAL.absent,
        pieces.filter((piece) => !heldSet.has(piece)),
      );
    }
  }

  /** Who is too busy for a peer tells it who else takes part, now and then. */
  #nameOthers(channel: Channel): void {
    const nowMs = this.#deps.nowMs();
    if (channel.remoteId === undefined || nowMs - channel.namedOthersAtMs < NAME_OTHERS_MS) return;
    channel.namedOthersAtMs = nowMs;
    const others = [...this.#channels.values()].filter((other) => other !== channel && other.remoteHasAny);
    if (others.length === 0) return;
    const peerIds = others.map(({ link }) => link.peerId);
    channel.link.send(FRAME.others, wire.encodeOthers(channel.remoteId, peerIds));
  }

  /** Tells a peer that wanted pieces will not come. */
  refuse(channel: Channel, reason: number, pieces: readonly number[]): void {
    if (channel.remoteId !== undefined) {
      channel.link.send(FRAME.refuse, wire.encodeRefuse(channel.remoteId, reason, pieces));
    }
  }

  #onRefuse(channel: Channel, payload: Buffer): void {
    const { reason, pieces } = wire.decodeRefuse(payload);
    for (const piece of pieces) {
      channel.forget(piece);
      if (reason === wire.REFUSAL.absent) channel.setRemoteHasNot(piece);
    }
    this.listener?.onRefused(channel, reason, pieces);
  }

  #onHashes(channel: Channel, statement: Statement): void {
    if (this.#map === undefined) return;
    const same = this.#map.find(statement);
    if (same !== undefined) {
      this.#news.onTold(channel, same);
      return;
    }
    if (this.#map.contradicts(statement)) channel.isDisputing = true;
    if (!this.#map.isNews(statement)) return;
    this.#news.onTold(channel, statement);
    // The link proves who says it; whether others can be made to believe it is seen when one asks.
    if (statement.author === channel.link.peerId) this.#news.onUnchecked(statement);
    else if (!isAuthentic(statement, this.digest, this.#deps.verify)) {
      throw swarmError('ERR_LINK_PROTOCOL', `peer ${channel.link.peerId} passed on a statement that nobody signed`);
    }
    const learned = this.#map.add(statement);
    if (learned.length > 0) this.listener?.onHashes(learned);
  }

  #remove(channel: Channel, reason: wire.LeaveReason | 'closed' | undefined): void {
    if (this.#channels.get(channel.link) !== channel) return;
    this.#channels.delete(channel.link);
    this.#news.forget(channel);
    this.#needs.forget(channel);
    this.#deps.uploads.removeChannel(channel);
    this.#deps.forgetChannel(channel);
    if (reason !== undefined) this.listener?.onLeft(channel, reason);
    this.#tellIfIdle();
  }

  #tellIfIdle(): void {
    if (!this.isInUse) this.#deps.onIdle(this);
  }
}
