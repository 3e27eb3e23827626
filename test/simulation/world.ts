/** What the parts of a simulation share. */
import type { PieceGeometry } from '../../src/content/geometry.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { PeerId } from '../../src/swarm/member.ts';
import type { EventQueue } from './event-queue.ts';
import type { LinkRates } from './link-rates.ts';
import type { Measurements } from './measurements.ts';
import type { NumberLists } from './number-lists.ts';
import type { Scenario } from './scenario.ts';
import type { SimChannel } from './sim-channel.ts';
import type { SimJourney } from './sim-journey.ts';
import type { SimNode } from './sim-node.ts';
import type { SimOrigin } from './sim-origin.ts';

/** Events that happen so often that they are numbers. */
export const EVENT = {
  /** journey */
  tick: 1,
  /** node */
  uplinkFree: 2,
  /** channel, piece */
  pieceArrived: 3,
  /** channel of who is asked, place of the pieces in the lists */
  want: 4,
  /** journey, place of the pieces in the lists */
  haves: 5,
  /** journey */
  flushHaves: 6,
} as const;

/** What one small message takes of an uplink: its frame, TLS, TCP, IP and Ethernet. */
export const MESSAGE_BYTES = 120;

export interface World {
  readonly scenario: Scenario;
  readonly geometry: PieceGeometry;
  /** What the hashes of one piece take in a message: more than one hash where pieces are coarser than those of nodes. */
  readonly hashBytesPerPiece: number;
  readonly events: EventQueue;
  readonly links: LinkRates;
  readonly lists: NumberLists;
  readonly measurements: Measurements;
  readonly origin: SimOrigin;
  readonly random: () => number;
  /** Some node is there and does nothing. */
  readonly hasSilentNodes: boolean;
  nowMs(): number;
  pieceBytes(piece: number): number;
  /** Members closest to a digest, as the others know them, without those named. */
  homes(digest: Digest, except: ReadonlySet<PeerId>): SimNode[];
  nodeOf(peerId: PeerId): SimNode | undefined;
  newJourney(node: SimNode, digest: Digest): SimJourney;
  /** Makes the two sides of a channel. */
  connect(from: SimJourney, to: SimJourney): readonly [SimChannel, SimChannel];
  onHeld(journey: SimJourney): void;
}
