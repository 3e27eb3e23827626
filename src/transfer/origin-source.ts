/**
 * The origin as a source of one journey: its reader, the peers that read for it, and how what was read becomes known, tied
 * to what is being gathered.
 */
import type { PieceGeometry } from '../content/geometry.ts';
import { abortable } from '../oci/abortable.ts';
import type { Channel } from './channel.ts';
import type { Exchange } from './exchange.ts';
import type { Gathering } from './gathering.ts';
import { ORIGIN_KEY, type JourneyDeps, type JourneyPurpose } from './journey-types.ts';
import type { PeerId } from '../swarm/member.ts';
import { formatLendQuestion } from './lend.ts';
import type { OriginPiece } from './origin-feed.ts';
import { OriginLeases } from './origin-leases.ts';
import { OriginReader, type MissingRun } from './origin-reader.ts';
import { OriginSharing } from './origin-sharing.ts';

/**
 * Pieces asked of peers at once while this node alone reads the origin: nobody gets those faster than they come over its link, and
 * what others have of the blob can wait.
 */
export const MAX_ASKED_BESIDE_ORIGIN = 4;

/** What the journey supplies. */
export interface OriginSourceHooks {
  readonly signal: AbortSignal;
  /** The length as the origin gives it; answers how the blob is cut. */
  readonly onSize: (sizeBytes: number) => Promise<PieceGeometry>;
  /** Keeps a piece. */
  readonly onPiece: (cut: OriginPiece) => Promise<void>;
  /** Reading has come to an end, or to a halt. */
  readonly onChange: () => void;
  /** Who reads the origin for all, where it is not this node. */
  readonly home: () => PeerId | undefined;
}

/**
 * Who has everything waits no longer for what it told of to spread. Two that read, each with pieces that it told the other, would
 * wait for each other; and those who get nothing turn to the origin after some seconds.
 */
export const MAX_QUIET_MS = 400;
/** For the answer of one who reads for this node; that it goes on is seen by what it shows. */
const LEASE_TIMEOUT_MS = 10 * 60_000;

export class OriginSource {
  readonly #deps: JourneyDeps;
  readonly #purpose: JourneyPurpose;
  readonly #exchange: Exchange;
  readonly #hooks: OriginSourceHooks;
  readonly #config: { maxOriginReaders: number };
  readonly #reader: OriginReader;
  /** Over a second connection, for leases of this node's own. */
  readonly #secondReader: OriginReader;
  readonly #sharing: OriginSharing;
  readonly #spread = Promise.withResolvers<void>();
  #quietUntilMs = Infinity;
  #gathering: Gathering | undefined;
  #leases: OriginLeases | undefined;

  constructor(
    deps: JourneyDeps,
    purpose: JourneyPurpose,
    exchange: Exchange,
    hooks: OriginSourceHooks,
    config: { maxOriginReaders: number },
  ) {
    this.#deps = deps;
    this.#purpose = purpose;
    this.#exchange = exchange;
    this.#hooks = hooks;
    this.#config = config;
    const { home } = hooks;
    this.#sharing = new OriginSharing({ exchange, identity: deps.identity, home, nowMs: () => deps.clock.nowMs() });
    this.#reader = this.#makeReader((gathering, piece) => gathering.claims.claimLent(piece));
    this.#secondReader = this.#makeReader((_gathering, piece) => this.#leases?.isBeside(piece) === true);
  }

  get state(): OriginReader['state'] {
    return this.#reader.state;
  }

  /** Why reading failed. */
  get error(): Error | undefined {
    return this.#reader.error;
  }

  /** Begins to read what lacks; ends by itself. */
  start(): void {
    this.#reader.start();
  }

  /** Lets a failed origin be tried again. */
  retry(): void {
    this.#reader.retry();
  }

  /** Reads a run for a peer that has set it aside. @throws {DockyardError} as `OriginReader.lend` */
  async lend(run: MissingRun): Promise<void> {
    await this.#reader.lend(run);
  }

  /** The length is known, and what is held. */
  onGathering(gathering: Gathering): void {
    this.#gathering = gathering;
    this.#leases = this.#makeLeases(gathering);
  }

  /** A peer shows pieces. */
  onHave(channel: Channel, pieces: readonly number[]): void {
    this.#sharing.onHave(channel, pieces);
    this.#leases?.onHave(pieces);
  }

  /** A peer shows that it has everything. */
  onPeerComplete(): void {
    this.#sharing.onPeerComplete();
  }

  /**
   * Resolves when what was told to single peers was seen at others, or after a moment. If all heard before that everything is
   * here, all would ask this node for the same last pieces.
   */
  async spread(signal: AbortSignal): Promise<void> {
    if (!this.#sharing.isSpreading) return;
    this.#quietUntilMs = this.#deps.clock.nowMs() + MAX_QUIET_MS;
    await abortable(this.#spread.promise, signal);
  }

  /** Hashes of pieces became known. */
  onHashes(pieces: readonly number[]): void {
    this.#leases?.onHashes(pieces);
  }

  /** A peer asks for pieces of this node. */
  onWanted(channel: Channel, pieces: readonly number[]): void {
    this.#sharing.onWanted(channel, pieces);
  }

  /** A peer is gone, and perhaps the only one that others knew to have a piece. */
  onLeft(channel: Channel): void {
    this.#sharing.onLeft(channel);
    this.#sharing.showHidden((piece) => this.#gathering?.scheduler.availability(piece) === 0);
    this.#leases?.onLeft(channel);
  }

  /**
   * Whether others tell of a piece that a peer sent: while this node reads the origin its link is for what nobody else can give. Not of
   * the last that came from a home that has died: nobody else may have that.
   */
  isLeftToOthers(piece: number): boolean {
    return this.readsForItself && this.#gathering?.scheduler.availability(piece) !== 0;
  }

  /** It reads what all lack, not a run for a peer: its link is for what nobody else can give. */
  get readsForItself(): boolean {
    return this.#reader.state === 'reading' && !this.#reader.isLending;
  }

  /** How many pieces may be asked of peers at once. */
  get maxAsked(): number {
    const needsLink = this.readsForItself && this.#leases?.areWorthwhile !== true;
    return needsLink ? MAX_ASKED_BESIDE_ORIGIN : Infinity;
  }

  /** To be called a few times a second. */
  tick(): void {
    this.#sharing.tick();
    const isOver = !this.#sharing.isSpreading || this.#deps.clock.nowMs() >= this.#quietUntilMs;
    if (isOver && this.#quietUntilMs !== Infinity) this.#spread.resolve();
    if (this.#reader.state !== 'reading' && !this.#sharing.isSpreading) this.#sharing.showHidden(() => true);
    if (this.readsForItself || this.#leases?.isActive === true) this.#leases?.tick();
  }

  #makeReader(claimLent: (gathering: Gathering, piece: number) => boolean): OriginReader {
    const { memory, origin, downloadRate } = this.#deps;
    const { repository, digest, sizeBytes } = this.#purpose;
    const { signal, onSize, onPiece, onChange } = this.#hooks;
    const gathering = (): Gathering | undefined => (signal.aborted ? undefined : this.#gathering);
    return new OriginReader({
      memory,
      origin,
      repository,
      digest,
      signal,
      knownGeometry: async () =>
        gathering()?.geometry ?? (sizeBytes === undefined ? undefined : await onSize(sizeBytes)),
      onSize,
      onChange,
      nextRun: () => gathering()?.nextOriginRun(),
      claim: (piece) => gathering()?.claims.claim(piece) === true,
      claimLent: (piece) => {
        const current = gathering();
        return current !== undefined && claimLent(current, piece);
      },
      release: (piece) => gathering()?.scheduler.release(ORIGIN_KEY, piece),
      onPiece: async (cut) => {
        await downloadRate.acquire(cut.bytes.length, { signal });
        gathering()?.pool.settle(cut.piece, ORIGIN_KEY);
        this.#leases?.onOwnPiece(cut.piece, cut.bytes.length);
        await onPiece(cut);
      },
      onBatch: (first, hashes) => this.#sharing.onBatch(first, hashes),
    });
  }

  #makeLeases({ scheduler, geometry, pool }: Gathering): OriginLeases {
    const { clock } = this.#deps;
    const exchange = this.#exchange;
    const { digest } = this.#purpose;
    const { signal } = this.#hooks;
    return new OriginLeases({
      scheduler,
      geometry,
      maxReaders: this.#config.maxOriginReaders,
      nowMs: () => clock.nowMs(),
      channels: () => exchange.channels.values(),
      isRead: (piece) => exchange.map?.hash(piece) !== undefined,
      onUnshown: (channel, pieces) => {
        for (const piece of pieces) channel.setRemoteHas(piece);
        pool.onHave(channel, pieces);
      },
      readBeside: async (run) => await this.#secondReader.lend(run),
      ask: async ({ link }, run) => {
        await link.request('lend', formatLendQuestion(digest, run), { timeoutMs: LEASE_TIMEOUT_MS, signal });
      },
    });
  }
}
