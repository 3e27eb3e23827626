/** The figures of a run. */
import { pieceGeometry } from '../../src/content/geometry.ts';
import type { Scenario } from './scenario.ts';
import { Simulation, type ProgressListener } from './simulation.ts';

/** One point of the curve. */
export interface CurvePoint {
  readonly timeMs: number;
  /** Share of all bytes that had come to nodes by then. */
  readonly bytesShare: number;
  /** Share of the nodes that had everything by then. */
  readonly doneShare: number;
}

export interface SimulationFigures {
  readonly scenario: Scenario;
  readonly pieceSizeBytes: number;
  /** The size of pieces that nodes would use. */
  readonly realPieceSizeBytes: number;
  readonly boundMs: number;
  /** Nodes that asked, lived, and have everything; and those that asked, lived, and have not. */
  readonly servedCount: number;
  readonly unservedCount: number;
  /** From asking to having everything, as a multiple of the bound. */
  readonly completion: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Bytes that left the origin, as a multiple of the size of the blobs. */
  readonly originRatio: number;
  readonly originRequests: number;
  /** Bytes that came in vain, as a share of all that came from peers. */
  readonly wastedShare: number;
  /** Small messages sent, mean over the nodes. */
  readonly messagesPerNode: number;
  /** The longest time without a new piece that some node saw that is served. */
  readonly longestSilenceMs: number;
  readonly virtualMs: number;
  readonly eventCount: number;
  readonly curve: readonly CurvePoint[];
}

/** Runs a scenario. */
export function simulate(scenario: Scenario, onProgress?: ProgressListener): SimulationFigures {
  const simulation = new Simulation(scenario);
  const { endMs, eventCount, unfinished } = simulation.run(onProgress);
  const { measurements, boundMs } = simulation;
  const tookMs = durations(simulation);
  const quantile = (share: number): number =>
    (tookMs[Math.min(tookMs.length - 1, Math.floor(share * tookMs.length))] ?? NaN) / boundMs;
  const peerBytes = sum(measurements.peerBytes);
  return {
    scenario,
    pieceSizeBytes: simulation.geometry.pieceSizeBytes,
    realPieceSizeBytes: pieceGeometry(scenario.blobSizeBytes).pieceSizeBytes,
    boundMs,
    servedCount: tookMs.length,
    unservedCount: unfinished,
    completion: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
    originRatio: measurements.originBytes / (scenario.blobSizeBytes * scenario.blobs),
    originRequests: measurements.originRequests,
    wastedShare: peerBytes === 0 ? 0 : sum(measurements.wastedBytes) / peerBytes,
    messagesPerNode: sum(measurements.messages) / simulation.nodes.length,
    longestSilenceMs: measurements.silenceMs.reduce(
      (longest, silenceMs, node) =>
        Number.isNaN(measurements.doneAtMs[node] ?? NaN) ? longest : Math.max(longest, silenceMs),
      0,
    ),
    virtualMs: endMs,
    eventCount,
    curve: curveOf(simulation),
  };
}

function durations(simulation: Simulation): Float64Array {
  const { askedAtMs, doneAtMs } = simulation.measurements;
  return doneAtMs
    .map((doneMs, node) => doneMs - (askedAtMs[node] ?? NaN))
    .filter((tookMs) => !Number.isNaN(tookMs))
    .sort();
}

function curveOf(simulation: Simulation): CurvePoint[] {
  const { measurements } = simulation;
  const doneAtMs = measurements.doneAtMs.filter((doneMs) => !Number.isNaN(doneMs)).sort();
  const allBytes = measurements.keptBytes.reduce((total, bytes) => total + bytes, 0);
  const curve: CurvePoint[] = [{ timeMs: 0, bytesShare: 0, doneShare: 0 }];
  let bytes = 0;
  let doneCount = 0;
  for (const [sample, keptBytes] of measurements.keptBytes.entries()) {
    const timeMs = (sample + 1) * measurements.sampleMs;
    bytes += keptBytes;
    while (doneCount < doneAtMs.length && (doneAtMs[doneCount] ?? 0) <= timeMs) doneCount += 1;
    curve.push({ timeMs, bytesShare: bytes / allBytes, doneShare: doneCount / Math.max(1, doneAtMs.length) });
  }
  return curve;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
