/**
 * The bytes of one journey: what is held is opened as soon as the length is known, pieces of peers and of the origin are kept as they
 * come, the first proves that the blob can be delivered, and the last has the whole finished. Where to get them is the journey's.
 */
import type { PieceGeometry } from '../content/geometry.ts';
import { abortable } from '../oci/abortable.ts';
import { asError } from '../oci/error.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Exchange } from './exchange.ts';
import { Gathering, type GatheringEvents } from './gathering.ts';
import { falseSizeError } from './journey-plan.ts';
import type { JourneyDeps } from './journey-types.ts';
import type { OriginPiece } from './origin-feed.ts';
import type { PullRecorder } from './pull-report.ts';

/** What the journey supplies. */
export interface AssemblyHooks extends Omit<GatheringEvents, 'onPiece'> {
  /** Of a piece that a peer sent, nobody is told by this node: others tell of it. */
  readonly isLeftToOthers: (piece: number) => boolean;
  /** The length is known and what is held was opened, but not offered to peers yet. */
  readonly onGathering: (gathering: Gathering) => void;
  /** It is offered: those who take part already can be asked. */
  readonly onOffered: () => void;
  /** A piece was kept, and may have been the last. */
  readonly onKept: () => void;
  readonly onFail: (error: Error) => void;
}

export class Assembly {
  readonly #deps: JourneyDeps;
  readonly #config: { stallTimeoutMs: number };
  readonly #exchange: Exchange;
  readonly #recorder: PullRecorder;
  readonly #hooks: AssemblyHooks;
  readonly #opened = Promise.withResolvers<Gathering>();
  readonly #proven = Promise.withResolvers<boolean>();
  #opening: Promise<Gathering> | undefined;
  #gathering: Gathering | undefined;
  #progressAtMs = 0;
  #isWhole = false;
  #isToBeProven = false;
  #isClosed = false;

  constructor(
    deps: JourneyDeps,
    exchange: Exchange,
    recorder: PullRecorder,
    hooks: AssemblyHooks,
    config: { stallTimeoutMs: number },
  ) {
    this.#deps = deps;
    this.#config = config;
    this.#exchange = exchange;
    this.#recorder = recorder;
    this.#hooks = hooks;
    for (const settled of [this.#opened.promise, this.#proven.promise]) settled.catch(() => undefined);
  }

  /** Undefined until the length is known and what is held was opened. */
  get gathering(): Gathering | undefined {
    return this.#gathering;
  }

  /** When the last verified piece came; 0 before the first. */
  get progressAtMs(): number {
    return this.#progressAtMs;
  }

  /** The length is said; only the first word counts. */
  learnSize(sizeBytes: number): void {
    if (this.#exchange.geometry !== undefined || this.#isClosed) return;
    this.#exchange.setSize(sizeBytes);
    this.#recorder.sizeBytes = sizeBytes;
    this.#open(sizeBytes).catch((thrown: unknown) => this.#hooks.onFail(asError(thrown)));
  }

  /** How the blob is cut, by the length that the origin gives. @throws {DockyardError} ERR_TRANSFER_BROKEN when another was said before */
  async geometryFor(sizeBytes: number): Promise<PieceGeometry> {
    this.learnSize(sizeBytes);
    const { geometry } = await this.#open(this.#exchange.geometry?.sizeBytes ?? sizeBytes);
    if (geometry.sizeBytes === sizeBytes) return geometry;
    const error = falseSizeError(this.#exchange.digest, geometry.sizeBytes, sizeBytes);
    this.#hooks.onFail(error);
    throw error;
  }

  /** The first pieces are wanted, because one of them is to prove the blob. */
  desireProof(): void {
    this.#isToBeProven = true;
    if (this.#gathering?.intake.has(0) === false) this.#gathering.desireBeginning();
  }

  /** All of the blob is wanted, now or when the length is known. */
  desireWhole(): void {
    this.#isWhole = true;
    this.#gathering?.desireWhole();
  }

  /** The length of the blob once a verified piece proves it; undefined when it turned out to be absent. */
  async provenSize(signal: AbortSignal | undefined): Promise<number | undefined> {
    if (!(await abortable(this.#proven.promise, signal))) return undefined;
    return (await this.whenOpened(signal)).geometry.sizeBytes;
  }

  /** Waits until the length is known and what is held was opened. */
  async whenOpened(signal: AbortSignal | undefined): Promise<Gathering> {
    return await abortable(this.#opened.promise, signal);
  }

  /** An empty blob has no first piece that would prove it. */
  onWhole(): void {
    this.#proven.resolve(true);
  }

  /** Nobody has it: that is an answer too. */
  onAbsent(): void {
    this.#proven.resolve(false);
  }

  /** Keeps a piece that was read from the origin; nobody is told of it yet. @throws {Error} when it cannot be kept */
  async onOriginPiece(cut: OriginPiece): Promise<void> {
    this.#recorder.originBytes += cut.bytes.length;
    this.#deps.metrics.received('origin', cut.bytes.length);
    this.#exchange.hide(cut.piece);
    await this.#keep(cut.piece, cut.bytes, cut.hash).catch((thrown: unknown) => {
      this.#hooks.onFail(asError(thrown));
      throw thrown;
    });
  }

  /** Nothing is taken in any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** All who wait are told why nothing more comes. */
  fail(error: Error): void {
    this.#gathering?.intake.fail(error);
    this.#opened.reject(error);
    this.#proven.reject(error);
  }

  /** Resolves when nothing is being opened. */
  async settled(): Promise<void> {
    await this.#opening?.catch(() => undefined);
  }

  #open(sizeBytes: number): Promise<Gathering> {
    this.#opening ??= this.#gather(sizeBytes);
    return this.#opening;
  }

  async #gather(sizeBytes: number): Promise<Gathering> {
    const events = { ...this.#hooks, onPiece: this.#onPeerPiece.bind(this) };
    const gathering = await Gathering.open(this.#deps, this.#exchange, sizeBytes, events, this.#config);
    this.#gathering = gathering;
    this.#hooks.onGathering(gathering);
    this.#recorder.localBytes = gathering.heldBytes;
    this.#exchange.setLocal(gathering.local);
    this.#opened.resolve(gathering);
    if (gathering.partial.held.count > 0) this.#proven.resolve(true);
    else if (this.#isToBeProven) gathering.desireBeginning();
    if (this.#isWhole) gathering.desireWhole();
    this.#hooks.onOffered();
    return gathering;
  }

  #onPeerPiece(piece: number, bytes: Buffer, hash: Buffer, from: PeerId): void {
    if (this.#isClosed) return;
    this.#recorder.onPeerBytes(bytes.length, from);
    this.#deps.metrics.received('peer', bytes.length);
    this.#keep(piece, bytes, hash).then(
      () => (this.#hooks.isLeftToOthers(piece) ? this.#exchange.hide(piece) : this.#exchange.announce(piece)),
      (thrown: unknown) => this.#hooks.onFail(asError(thrown)),
    );
  }

  async #keep(piece: number, bytes: Buffer, hash: Buffer): Promise<void> {
    this.#progressAtMs = this.#deps.clock.nowMs();
    const kept = this.#gathering?.intake.keep(piece, bytes, hash);
    this.#proven.resolve(true);
    await kept;
    this.#gathering?.pool.onKept();
    this.#hooks.onKept();
  }
}
