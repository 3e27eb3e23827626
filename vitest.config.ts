import { defineConfig } from 'vitest/config';
import { SkipReporter } from './test/skip-reporter.ts';

/**
 * Faults done to whole swarms, how long it takes clients to get over them, and what torrent clients do at their own pace: minutes, so
 * these have a command of their own.
 */
const CHAOS = 'test/cluster/chaos-*.test.ts';

/** What is waited for may take its time on a busy machine; what never comes is told by the test's own limit or by this one. */
const expectSoon = { poll: { timeout: 8_000 } };

/**
 * A worker keeps what it has loaded for its next file: loading the same thousand modules anew for each file took longer than the
 * tests. So a test leaves nothing changed that others see: globals, the environment, the working folder. A support module is evaluated
 * once for many files: what a file needs of the machine it states itself, by a call.
 */
const isolate = false;

const chaos = {
  test: {
    expect: expectSoon,
    name: 'chaos',
    include: [CHAOS],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
};

export default defineConfig({
  test: {
    reporters: ['default', new SkipReporter()],
    // A test that leaves a timer or a socket behind is a fault; nothing may retry its way to green.
    retry: 0,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'html', 'json-summary'],
      reportsDirectory: 'coverage',
    },
    projects: [
      {
        test: {
          name: 'unit',
          expect: expectSoon,
          isolate,
          // Contract suites are modules that unit and integration tests call; the files that run them end in `.test.ts`.
          include: ['test/unit/**/*.test.ts', 'test/contract/**/*.test.ts'],
          testTimeout: 10_000,
          // Left to itself, vitest keeps one processor free.
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'integration',
          expect: expectSoon,
          isolate,
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // Real daemons, which are waited for more than they work: a third file fills two processors, more would take them from each other.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'cluster',
          expect: expectSoon,
          isolate,
          include: ['test/cluster/**/*.test.ts'],
          exclude: [CHAOS],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          // Several hosts with shaped links measure time: one file at a time, after all others.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      ...(process.env['CHAOS_SUITE'] === '1' ? [chaos] : []),
    ],
  },
});
