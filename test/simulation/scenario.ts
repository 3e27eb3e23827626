/** What is simulated: how many nodes, over which links, who comes when, what goes wrong. */
import { pieceGeometry, type PieceGeometry } from '../../src/content/geometry.ts';

/** Everything that decides a run; the same scenario gives the same figures. */
export interface Scenario {
  /** Nodes that want the blobs. */
  readonly nodes: number;
  readonly blobSizeBytes: number;
  /** Blobs of that size, wanted by all nodes at once. */
  readonly blobs: number;
  /** Of every node's link, each way. */
  readonly rateBytesPerSecond: number;
  /** All that the origin sends. */
  readonly originRateBytesPerSecond: number;
  /** What the origin sends over one connection. */
  readonly originConnectionRateBytesPerSecond: number;
  /** One way, between any two nodes. */
  readonly latencyMs: number;
  /** 0: as `pieceGeometry` says, or as coarse as memory and time ask for. */
  readonly pieceSizeBytes: number;
  /** `all`: within a twentieth of a second. `rolling`: spread evenly over the time that one node alone would take. */
  readonly arrival: 'all' | 'rolling';
  /** Nodes that come besides, when the swarm is at half. */
  readonly lateNodes: number;
  /** This share of the nodes is replaced by new ones every second. */
  readonly churnPerSecond: number;
  /** The home's process ends when it holds this share of the blob; 0: it does not. */
  readonly killHomeAt: number;
  /** Some node that is not home falls silent when it holds this share; 0: none does. */
  readonly stopHolderAt: number;
  readonly maxHolders: number;
  readonly uploadSlots: number;
  readonly seed: number;
}

const GIBIBYTE = 1024 ** 3;
const GIGABIT_BYTES_PER_SECOND = 125_000_000;

/** What a scenario is where nothing else is said; the limits of nodes are those of their configuration. */
export const DEFAULT_SCENARIO: Scenario = {
  nodes: 1000,
  blobSizeBytes: GIBIBYTE,
  blobs: 1,
  rateBytesPerSecond: GIGABIT_BYTES_PER_SECOND,
  originRateBytesPerSecond: GIGABIT_BYTES_PER_SECOND,
  originConnectionRateBytesPerSecond: Infinity,
  latencyMs: 1,
  pieceSizeBytes: 0,
  arrival: 'all',
  lateNodes: 0,
  churnPerSecond: 0,
  killHomeAt: 0,
  stopHolderAt: 0,
  maxHolders: 16,
  uploadSlots: 64,
  seed: 1,
};

/** Pieces that come to nodes in one run: with more a run would take longer than some minutes, and much memory. */
const MAX_ARRIVALS = 21_000_000;

/** How the blobs are cut: as nodes do, or coarser, where the run would be too large. */
export function scenarioGeometry(scenario: Scenario): PieceGeometry {
  const real = pieceGeometry(scenario.blobSizeBytes);
  let { pieceSizeBytes } = scenario;
  if (pieceSizeBytes === 0) {
    ({ pieceSizeBytes } = real);
    const copiesBytes = scenario.blobSizeBytes * scenario.nodes * scenario.blobs;
    while (copiesBytes / pieceSizeBytes > MAX_ARRIVALS) pieceSizeBytes *= 2;
  }
  return {
    sizeBytes: scenario.blobSizeBytes,
    pieceSizeBytes,
    pieceCount: Math.ceil(scenario.blobSizeBytes / pieceSizeBytes),
  };
}

/** The time that one node alone on its link would take for everything: what the figures are measured against. */
export function boundMs(scenario: Scenario): number {
  const rate = Math.min(scenario.rateBytesPerSecond, scenario.originRateBytesPerSecond);
  return ((scenario.blobSizeBytes * scenario.blobs) / rate) * 1000;
}
