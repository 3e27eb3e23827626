/** The decisions of the exchange, driven through whole swarms in virtual time: see docs/SIMULATION.md. */
import { describe, expect, test } from 'vitest';
import { simulate, type SimulationFigures } from '../../simulation/figures.ts';
import { DEFAULT_SCENARIO, type Scenario } from '../../simulation/scenario.ts';

const MIB = 1024 * 1024;
const RATE = 25_000_000;

/** A blob of 1024 pieces at 200 Mbit/s, besides what is said. */
function run(changes: Partial<Scenario>): SimulationFigures {
  return simulate({
    ...DEFAULT_SCENARIO,
    blobSizeBytes: 64 * MIB,
    rateBytesPerSecond: RATE,
    originRateBytesPerSecond: RATE,
    ...changes,
  });
}

describe('a simulated swarm', () => {
  test('of 8 nodes is served at nearly the rate of one link, from one copy', () => {
    const figures = run({ nodes: 8 });
    expect(figures.servedCount).toBe(8);
    expect(figures.completion.max).toBeLessThan(1.2);
    expect(figures.originRatio).toBe(1);
    expect(figures.wastedShare).toBeLessThan(0.01);
  });

  test('of 64 nodes is served from one copy, the last node not long after the others', () => {
    const figures = run({ nodes: 64, blobSizeBytes: 32 * MIB, pieceSizeBytes: 128 * 1024 });
    expect(figures.servedCount).toBe(64);
    expect(figures.originRatio).toBe(1);
    expect(figures.completion.p99).toBeLessThan(1.6);
    expect(figures.completion.max / figures.completion.p50).toBeLessThan(1.1);
  });

  test('is the same with the same seed, and another with another', () => {
    const scenario = { nodes: 12, blobSizeBytes: 16 * MIB };
    const [one, same, other] = [run(scenario), run(scenario), run({ ...scenario, seed: 2 })];
    expect(same).toEqual(one);
    expect(other.completion).not.toEqual(one.completion);
  });

  test('goes on when the home ends: nothing is read again but what was lost with it', () => {
    const figures = run({ nodes: 8, killHomeAt: 0.5 });
    expect([figures.servedCount, figures.unservedCount]).toEqual([7, 0]);
    expect(figures.originRatio).toBeLessThan(1.3);
    expect(figures.longestSilenceMs).toBeLessThan(3000);
  });

  test('does without a holder that falls silent', () => {
    const figures = run({ nodes: 8, stopHolderAt: 0.5 });
    expect([figures.servedCount, figures.unservedCount]).toEqual([7, 0]);
    expect(figures.originRatio).toBeLessThan(1.1);
    expect(figures.longestSilenceMs).toBeLessThan(3000);
  });

  test('serves one that comes late from peers', () => {
    const figures = run({ nodes: 8, lateNodes: 1 });
    expect(figures.servedCount).toBe(9);
    expect(figures.originRatio).toBe(1);
    expect(figures.completion.max).toBeLessThan(1.3);
  });

  test('shares its links between two blobs', () => {
    const figures = run({ nodes: 8, blobs: 2, blobSizeBytes: 32 * MIB });
    expect(figures.servedCount).toBe(8);
    expect(figures.originRatio).toBe(1);
    expect(figures.completion.max).toBeLessThan(1.3);
  });

  test('serves all who stay while others come and go', () => {
    const figures = run({ nodes: 30, blobSizeBytes: 32 * MIB, churnPerSecond: 0.1 });
    expect(figures.unservedCount).toBe(0);
    expect(figures.originRatio).toBeLessThan(1.5);
  });

  test('is served in turn when nodes come one after the other', () => {
    const figures = run({ nodes: 16, arrival: 'rolling', blobSizeBytes: 32 * MIB });
    expect(figures.servedCount).toBe(16);
    expect(figures.originRatio).toBeLessThan(1.1);
  });

  test('reads an origin that is slow to each connection over several', () => {
    const scenario = { nodes: 8, originConnectionRateBytesPerSecond: RATE / 4 };
    const figures = run(scenario);
    expect(figures.servedCount).toBe(8);
    // One reader alone would take four times the bound; until all read, 1.4 s of 2.7 have passed.
    expect(figures.completion.max).toBeLessThan(1.6);
    expect(figures.originRatio).toBeLessThan(1.02);
    expect(run({ ...scenario, killHomeAt: 0.5 }).completion.max).toBeLessThan(2.5);
  });
});
