import { expect, test } from 'vitest';
import { CircuitBreaker, type BreakerPass } from '../../../src/origin/circuit-breaker.ts';

const OUTAGE_MS = 10_000;
const OPEN_MS = 5_000;

/** A breaker, its clock, and attempts that it lets through. */
class Bench {
  atMs = 1_000;
  readonly breaker = new CircuitBreaker(
    { clock: { nowMs: () => this.atMs } },
    { failureThreshold: 3, outageMs: OUTAGE_MS, openMs: OPEN_MS },
  );

  begin(): BreakerPass {
    const pass = this.breaker.tryPass();
    if (pass === undefined) throw new Error('the breaker is open');
    return pass;
  }

  /** Attempts one after the other that get no connection, or no answer to what they ask. */
  fail(count: number, tookMs: number, silentRequest?: string): void {
    for (let done = 0; done < count; done += 1) {
      const pass = this.begin();
      this.atMs += tookMs;
      this.breaker.failed(pass, silentRequest);
    }
  }

  /** The same until the breaker is open. */
  open(): void {
    this.fail(3, OUTAGE_MS / 3 + 1);
    if (!this.breaker.isOpen) throw new Error('the breaker is closed');
  }
}

test('a breaker opens after failures in a row that lasted for a while', () => {
  const bench = new Bench();
  bench.fail(2, OUTAGE_MS);
  expect(bench.breaker.tryPass()).toBeDefined();
  bench.fail(1, 1);
  expect([bench.breaker.isOpen, bench.breaker.tryPass()]).toEqual([true, undefined]);
});

test('failures that come fast open it only when the outage has lasted: what is away for a moment may be waited for', () => {
  const bench = new Bench();
  bench.fail(50, 10);
  expect(bench.breaker.isOpen).toBe(false);
  bench.atMs += OUTAGE_MS;
  bench.fail(1, 10);
  expect(bench.breaker.isOpen).toBe(true);
});

test('an answer, whatever it says, begins the count again', () => {
  const bench = new Bench();
  bench.fail(2, OUTAGE_MS);
  bench.breaker.succeeded();
  bench.fail(2, OUTAGE_MS);
  expect(bench.breaker.isOpen).toBe(false);
  bench.fail(1, 1);
  expect(bench.breaker.isOpen).toBe(true);
});

test('attempts side by side count as one', () => {
  const bench = new Bench();
  const passes = Array.from({ length: 20 }, () => bench.begin());
  bench.atMs += OUTAGE_MS;
  for (const pass of passes) bench.breaker.failed(pass, undefined);
  expect(bench.breaker.isOpen).toBe(false);
  bench.fail(2, 1);
  expect(bench.breaker.isOpen).toBe(true);
});

test('a request that gets no answer while others do is no sign of an outage', () => {
  const bench = new Bench();
  for (let round = 0; round < 10; round += 1) {
    const slow = bench.begin();
    bench.atMs += OUTAGE_MS;
    bench.breaker.succeeded();
    bench.atMs += 1;
    bench.breaker.failed(slow, 'blobs/slow');
  }
  expect(bench.breaker.isOpen).toBe(false);
});

test('one request alone that gets no answer, however often, keeps nobody from asking for other things', () => {
  const bench = new Bench();
  bench.fail(10, OUTAGE_MS, 'blobs/slow');
  expect(bench.breaker.isOpen).toBe(false);
  bench.fail(1, OUTAGE_MS, 'blobs/other');
  expect(bench.breaker.isOpen).toBe(true);
});

test('an open breaker lets one request try after its time, and a success closes it', () => {
  const bench = new Bench();
  bench.open();
  bench.atMs += OPEN_MS - 1;
  expect(bench.breaker.tryPass()).toBeUndefined();
  bench.atMs += 1;
  expect([bench.breaker.tryPass(), bench.breaker.tryPass()]).toEqual([{ startedAtMs: bench.atMs }, undefined]);
  bench.breaker.succeeded();
  expect([bench.breaker.tryPass(), bench.breaker.tryPass()]).not.toContain(undefined);
});

test('a probe that fails or never tells keeps the breaker open for another while', () => {
  const bench = new Bench();
  bench.open();
  bench.atMs += OPEN_MS;
  bench.fail(1, 1);
  bench.atMs += OPEN_MS - 1;
  expect(bench.breaker.tryPass()).toBeUndefined();
  bench.atMs += 1;
  expect(bench.breaker.tryPass()).toBeDefined();
  bench.atMs += OPEN_MS;
  expect(bench.breaker.tryPass()).toBeDefined();
});
