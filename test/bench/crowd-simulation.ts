/** What the simulation says of the crowd that a benchmark runs for real: see docs/SIMULATION.md. */
import { simulate } from '../simulation/figures.ts';
import { DEFAULT_SCENARIO, type Scenario } from '../simulation/scenario.ts';
import type { CrowdPlan } from './crowd-run.ts';

/** One way between two namespaces of one machine. */
const LAB_LATENCY_MS = 0.2;

/** The scenario of a plan; undefined where the simulation knows no such thing: images, waves, a warm start, no swarm. */
export function scenarioOf({
  nodes,
  rateBits,
  content,
  connectionShare = Infinity,
  waves,
  setting,
  fault,
}: CrowdPlan): Scenario | undefined {
  if (content.kind !== 'blob' || waves !== undefined || setting !== 'cold') return undefined;
  const rateBytesPerSecond = rateBits / 8;
  return {
    ...DEFAULT_SCENARIO,
    nodes,
    blobSizeBytes: content.sizeBytes,
    rateBytesPerSecond,
    originRateBytesPerSecond: rateBytesPerSecond,
    originConnectionRateBytesPerSecond: rateBytesPerSecond * connectionShare,
    latencyMs: LAB_LATENCY_MS,
    killHomeAt: fault === 'kill-home' ? 0.5 : 0,
    stopHolderAt: fault === 'stop-holder' ? 0.5 : 0,
  };
}

/** When the last of a plan's nodes is done in the simulation, over size ÷ rate; the median of some seeds. */
export function simulatedLastDone(plan: CrowdPlan): number | undefined {
  const scenario = scenarioOf(plan);
  if (scenario === undefined) return undefined;
  const lasts = [1, 2, 3, 4, 5].map((seed) => simulate({ ...scenario, seed }).completion.max);
  return lasts.toSorted((a, b) => a - b)[2];
}
