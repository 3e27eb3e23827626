import { describe, expect, it } from 'vitest';
import { Arrivals } from '../../bench/arrivals.ts';
import { drawCompletion } from '../../bench/completion-plot.ts';
import type { CrowdPlan } from '../../bench/crowd-run.ts';
import { scenarioOf, simulatedLastDone } from '../../bench/crowd-simulation.ts';
import { FlagError, Flags } from '../../bench/flags.ts';

describe('the arrivals of a client', () => {
  it('counts the wait for the first byte as a silence', () => {
    const arrivals = new Arrivals(0, 1000, 100);
    arrivals.note(10, 1700);
    arrivals.note(20, 1900);
    expect(arrivals.longestSilenceMs()).toBe(700);
  });

  it('counts only the rest of a silence in which the fault fell', () => {
    const arrivals = new Arrivals(0, 0, 100);
    arrivals.note(10, 10);
    arrivals.note(20, 2010);
    arrivals.note(30, 2510);
    expect(arrivals.longestSilenceMs(1210)).toBe(800);
    expect(arrivals.longestSilenceMs(1810)).toBe(500);
  });

  it('does not take the same total for an arrival', () => {
    const arrivals = new Arrivals(0, 0, 100);
    arrivals.note(10, 10);
    arrivals.note(10, 400);
    arrivals.note(20, 900);
    expect(arrivals.longestSilenceMs()).toBe(890);
  });

  it('keeps points apart, and the last one always', () => {
    const arrivals = new Arrivals(0, 0, 100);
    for (let at = 1; at <= 25; at += 1) arrivals.note(at, at * 10);
    expect(arrivals.record().points).toEqual([
      [0, 0],
      [0.1, 10],
      [0.2, 20],
      [0.25, 25],
    ]);
  });
});

describe('the plot of a crowd', () => {
  it('has a curve for each node, a dashed one for the victim, and the mark of the fault', () => {
    const svg = drawCompletion({
      title: 'a <title>',
      sizeBytes: 100,
      boundSeconds: 1,
      series: [
        {
          name: 'n0',
          isVictim: false,
          points: [
            [0, 0],
            [1, 100],
          ],
        },
        {
          name: 'n1',
          isVictim: true,
          points: [
            [0, 0],
            [0.5, 50],
          ],
        },
      ],
      marks: [{ seconds: 0.5, text: 'stop-holder (n1)' }],
    });
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<polyline[^>]*stroke-dasharray/g)).toHaveLength(1);
    expect(svg).toContain('stop-holder (n1)');
    expect(svg).toContain('a &lt;title&gt;');
  });
});

describe('the flags of a benchmark', () => {
  it('reads rates and seconds', () => {
    const flags = Flags.parse(['--rate', '100mbit', '--every=0.5s'], ['rate', 'every']);
    expect(flags.rateBits('rate', 1)).toBe(100e6);
    expect(flags.seconds('every', 1)).toBe(0.5);
    expect(flags.rateBits('other', 7)).toBe(7);
  });

  it.each(['100', 'fast', '0mbit', '-1mbit'])('refuses the rate %s', (text) => {
    expect(() => Flags.parse([`--rate=${text}`], ['rate']).rateBits('rate', 1)).toThrow(FlagError);
  });

  it.each(['0', 'soon', '1m'])('refuses %s for seconds', (text) => {
    expect(() => Flags.parse([`--every=${text}`], ['every']).seconds('every', 1)).toThrow(FlagError);
  });
});

describe('what the simulation says of a crowd', () => {
  const plan: CrowdPlan = {
    nodes: 4,
    rateBits: 200_000_000,
    content: { kind: 'blob', sizeBytes: 8 * 1024 * 1024 },
    setting: 'cold',
    warmUpBytes: 0,
  };

  it('is for the same hosts, links and origin', () => {
    expect(scenarioOf({ ...plan, connectionShare: 1 / 4, fault: 'kill-home' })).toMatchObject({
      nodes: 4,
      blobSizeBytes: 8 * 1024 * 1024,
      rateBytesPerSecond: 25_000_000,
      originRateBytesPerSecond: 25_000_000,
      originConnectionRateBytesPerSecond: 6_250_000,
      killHomeAt: 0.5,
      stopHolderAt: 0,
    });
  });

  it('is a multiple of size ÷ rate, the more the slower the origin is to each connection', () => {
    const equal = simulatedLastDone(plan) ?? NaN;
    const capped = simulatedLastDone({ ...plan, connectionShare: 1 / 4 }) ?? NaN;
    expect(equal).toBeGreaterThan(1);
    expect(equal).toBeLessThan(2);
    expect(capped).toBeGreaterThan(equal);
  });

  it('is nothing where the simulation knows no such crowd', () => {
    expect(simulatedLastDone({ ...plan, setting: 'warm' })).toBeUndefined();
    expect(simulatedLastDone({ ...plan, content: { kind: 'image', layersBytes: [1] } })).toBeUndefined();
    expect(simulatedLastDone({ ...plan, waves: { share: 0.2, everySeconds: 1 } })).toBeUndefined();
  });
});
