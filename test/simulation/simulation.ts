/**
 * A swarm in virtual time. Nodes, their links, the origin and what goes wrong are made here, and events are given to whom
 * they concern; what nodes decide is decided by the code of nodes (see sim-journey.ts).
 */
import type { PieceGeometry } from '../../src/content/geometry.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import type { Member, PeerId } from '../../src/swarm/member.ts';
import { pieceGeometry } from '../../src/content/geometry.ts';
import { CALL, EventQueue } from './event-queue.ts';
import { Faults } from './faults.ts';
import { LinkRates } from './link-rates.ts';
import { Measurements } from './measurements.ts';
import { NumberLists } from './number-lists.ts';
import { boundMs, scenarioGeometry, type Scenario } from './scenario.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimChannel } from './sim-channel.ts';
import { SimJourney } from './sim-journey.ts';
import { SimNode } from './sim-node.ts';
import { SimOrigin } from './sim-origin.ts';
import { ToldBits } from './told-bits.ts';
import { EVENT, type World } from './world.ts';

/** Clients ask within this time where all come at once. */
const TOGETHER_MS = 50;
/** A run that takes so many times the bound, and then some, has failed. */
const PATIENCE_BOUNDS = 20;
const PATIENCE_MS = 60_000;
/** Members known for a digest at once: its home and those that would follow it. */
const RANKED_HOMES = 16;
const HASH_BYTES = 32;
const EVENTS_PER_PROGRESS = 2 ** 20;

/** How far a run has come. */
export interface Progress {
  readonly virtualMs: number;
  readonly boundMs: number;
  /** Bytes that have come, as a share of what all nodes want. */
  readonly bytesShare: number;
  readonly unfinishedCount: number;
  readonly eventCount: number;
}

/** Is told now and then how far a run has come. */
export type ProgressListener = (progress: Progress) => void;

export class Simulation implements World {
  readonly scenario: Scenario;
  readonly geometry: PieceGeometry;
  readonly boundMs: number;
  readonly hashBytesPerPiece: number;
  readonly events = new EventQueue();
  readonly lists = new NumberLists();
  readonly links: LinkRates;
  readonly measurements: Measurements;
  readonly origin: SimOrigin;
  readonly random: () => number;
  readonly nodes: SimNode[] = [];
  readonly digests: readonly Digest[];
  readonly #faults: Faults;
  readonly #journeys: SimJourney[] = [];
  readonly #channels: SimChannel[] = [];
  readonly #nodesByPeerId = new Map<PeerId, SimNode>();
  readonly #ranking = new Map<Digest, readonly Member[]>();
  readonly #told: ToldBits;
  #members: Member[] = [];
  #nowMs = 0;
  #unfinished = 0;
  #eventCount = 0;
  hasSilentNodes = false;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.geometry = scenarioGeometry(scenario);
    this.boundMs = boundMs(scenario);
    this.#told = new ToldBits(this.geometry.pieceCount);
    this.random = seededRandom(scenario.seed);
    const pieceRatio = this.geometry.pieceSizeBytes / pieceGeometry(scenario.blobSizeBytes).pieceSizeBytes;
    this.hashBytesPerPiece = HASH_BYTES * Math.max(1, pieceRatio);
    this.origin = new SimOrigin(scenario.originRateBytesPerSecond, scenario.originConnectionRateBytesPerSecond);
    this.#faults = new Faults(this);
    const nodeCount = scenario.nodes + scenario.lateNodes + this.#faults.newcomerCount;
    this.measurements = new Measurements(nodeCount, this.boundMs, () => this.#nowMs);
    this.links = this.#makeLinks(nodeCount);
    this.digests = Array.from({ length: scenario.blobs }, (_, blob) =>
      digestOf(Buffer.from(`blob ${blob} of seed ${scenario.seed}`)),
    );
    for (let index = 0; index < nodeCount; index += 1) this.#addNode(index);
  }

  /** Runs until all who can be done are; answers the virtual time and how many events it took. */
  run(onProgress?: ProgressListener): { endMs: number; eventCount: number; unfinished: number } {
    this.#schedule();
    const limitMs = this.boundMs * PATIENCE_BOUNDS + PATIENCE_MS;
    const { events } = this;
    while (this.#unfinished > 0 && events.next()) {
      if (events.timeMs > limitMs) break;
      this.#nowMs = events.timeMs;
      this.#eventCount += 1;
      this.#dispatch(events.kind, events.first, events.second);
      if (this.#eventCount % EVENTS_PER_PROGRESS === 0) onProgress?.(this.#progress());
    }
    return { endMs: this.#nowMs, eventCount: this.#eventCount, unfinished: this.#unfinished };
  }

  #progress(): Progress {
    const { keptBytes } = this.measurements;
    const allBytes =
      this.scenario.blobSizeBytes * this.scenario.blobs * (this.scenario.nodes + this.scenario.lateNodes);
    return {
      virtualMs: this.#nowMs,
      boundMs: this.boundMs,
      bytesShare: keptBytes.reduce((total, bytes) => total + bytes, 0) / allBytes,
      unfinishedCount: this.#unfinished,
      eventCount: this.#eventCount,
    };
  }

  nowMs(): number {
    return this.#nowMs;
  }

  pieceBytes(piece: number): number {
    const { sizeBytes, pieceSizeBytes } = this.geometry;
    return Math.min(pieceSizeBytes, sizeBytes - piece * pieceSizeBytes);
  }

  homes(digest: Digest, except: ReadonlySet<PeerId>): SimNode[] {
    let ranked = this.#ranking.get(digest);
    if (ranked === undefined) {
      ranked = rankHomes(digest, this.#members, RANKED_HOMES);
      this.#ranking.set(digest, ranked);
    }
    return ranked
      .filter(({ peerId }) => !except.has(peerId))
      .slice(0, 3)
      .flatMap(({ peerId }) => this.#nodesByPeerId.get(peerId) ?? []);
  }

  nodeOf(peerId: PeerId): SimNode | undefined {
    return this.#nodesByPeerId.get(peerId);
  }

  newJourney(node: SimNode, digest: Digest): SimJourney {
    const known = node.journeys.get(digest);
    if (known !== undefined) return known;
    const journey = new SimJourney(this, this.#journeys.length, node, digest);
    this.#journeys.push(journey);
    node.journeys.set(digest, journey);
    return journey;
  }

  connect(from: SimJourney, to: SimJourney): readonly [SimChannel, SimChannel] {
    const nowMs = (): number => this.#nowMs;
    const one = new SimChannel(this.#channels.length, from, to.node, this.#told, nowMs);
    const other = new SimChannel(this.#channels.length + 1, to, from.node, this.#told, nowMs);
    one.twin = other;
    other.twin = one;
    this.#channels.push(one, other);
    return [one, other];
  }

  onHeld(journey: SimJourney): void {
    this.#faults.onHeld(journey);
    if (!journey.isComplete) return;
    const { node } = journey;
    const { askedAtMs, doneAtMs } = this.measurements;
    const isAsked = !Number.isNaN(askedAtMs[node.index]) && Number.isNaN(doneAtMs[node.index]);
    const isDone = this.digests.every((digest) => node.journeys.get(digest)?.isComplete === true);
    if (isAsked && isDone) this.#finish(node);
  }

  // What happens to nodes.

  /** A node becomes a member. */
  join(node: SimNode): void {
    node.state = 'alive';
    this.#nodesByPeerId.set(node.member.peerId, node);
    this.#changeMembers((members) => [...members, node.member]);
  }

  /** The client of a node asks for all blobs. */
  ask(node: SimNode): void {
    if (!node.isAlive) return;
    this.measurements.onAsked(node.index);
    for (const digest of this.digests) this.newJourney(node, digest).serveClient();
    if (this.digests.every((digest) => node.journeys.get(digest)?.isComplete === true)) this.#finish(node);
  }

  /** A node's process ends: what it has sent arrives, its channels close. */
  kill(node: SimNode, membersKnowAfterMs: number): void {
    this.#lose(node);
    node.state = 'dead';
    for (const journey of node.journeys.values()) journey.vanish();
    this.#forgetMember(node, membersKnowAfterMs);
  }

  /** A node falls silent, and does nothing any more; its channels stay. */
  stop(node: SimNode, membersKnowAfterMs: number): void {
    this.#lose(node);
    node.state = 'stopped';
    node.silentSinceMs = this.#nowMs;
    this.hasSilentNodes = true;
    this.#forgetMember(node, membersKnowAfterMs);
  }

  /** It is not awaited any more. */
  #lose(node: SimNode): void {
    const { askedAtMs, doneAtMs } = this.measurements;
    const isAwaited = Number.isNaN(doneAtMs[node.index]);
    if (isAwaited) this.#unfinished -= 1;
    askedAtMs[node.index] = isAwaited ? NaN : (askedAtMs[node.index] ?? NaN);
    this.links.cut(node.index);
  }

  /** One more node will ask. */
  expect(): void {
    this.#unfinished += 1;
  }

  #finish(node: SimNode): void {
    this.measurements.onDone(node.index);
    this.#unfinished -= 1;
  }

  #forgetMember(node: SimNode, afterMs: number): void {
    this.events.call(this.#nowMs + afterMs, () => {
      this.#changeMembers((members) => members.filter((member) => member !== node.member));
    });
  }

  #changeMembers(change: (members: readonly Member[]) => Member[]): void {
    this.#members = change(this.#members);
    this.#ranking.clear();
  }

  #dispatch(kind: number, first: number, second: number): void {
    if (kind === EVENT.haves) this.#journeys[first]?.deliverHaves(this.lists.take(second));
    else if (kind === EVENT.uplinkFree) this.links.serve(first);
    else if (kind === EVENT.pieceArrived) this.#onPieceArrived(first, second);
    else if (kind === EVENT.want) this.#onWant(first, second);
    else if (kind === EVENT.flushHaves) this.#journeys[first]?.flushHaves();
    else if (kind === EVENT.tick) this.#journeys[first]?.tick();
    else if (kind === CALL) this.events.takeAction()?.();
  }

  #onPieceArrived(id: number, piece: number): void {
    const channel = this.#channels[id];
    channel?.owner.onPiece(channel, piece);
  }

  #onWant(id: number, place: number): void {
    const pieces = this.lists.take(place);
    const channel = this.#channels[id];
    channel?.owner.onWant(channel, pieces);
  }

  /** Who asks when. */
  #schedule(): void {
    const { nodes, arrival, lateNodes } = this.scenario;
    const spreadMs = arrival === 'all' ? TOGETHER_MS : this.boundMs;
    for (let index = 0; index < nodes + lateNodes; index += 1) {
      const node = this.nodes[index];
      if (node === undefined) continue;
      this.expect();
      this.#nodesByPeerId.set(node.member.peerId, node);
      this.#members.push(node.member);
      node.state = 'alive';
      const share = arrival === 'all' ? this.random() : index / nodes;
      const atMs = index < nodes ? share * spreadMs : this.boundMs / 2;
      this.events.call(atMs, () => this.ask(node));
    }
    this.#faults.schedule();
  }

  #addNode(index: number): void {
    this.nodes.push(new SimNode(index, this.random));
  }

  #makeLinks(nodeCount: number): LinkRates {
    return new LinkRates(
      {
        events: this.events,
        isAlive: (index) => this.nodes[index]?.isAlive === true,
        nowMs: () => this.#nowMs,
        pieceBytes: (piece) => this.pieceBytes(piece),
        uplinkFree: EVENT.uplinkFree,
        pieceArrived: EVENT.pieceArrived,
      },
      {
        nodeCount,
        rateBytesPerMs: this.scenario.rateBytesPerSecond / 1000,
        latencyMs: this.scenario.latencyMs,
        pieceSizeBytes: this.geometry.pieceSizeBytes,
      },
    );
  }
}
