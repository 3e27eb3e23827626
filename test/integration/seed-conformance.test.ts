/**
 * What the distribution specification demands of a seed: checks from the outside, for each storage, and the specification's own
 * suites, which are Go programs.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { describeDistribution, type RunningRegistry } from '../contract/distribution.ts';
import { requirement } from '../skip-reasons.ts';
import { seedDrivers, SeedPlace } from '../support/seed-place.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/conformance', import.meta.url));
/** The first run fetches and builds both suites. */
const TIMEOUT_MS = 400_000;

for (const { driver, isReady } of seedDrivers()) {
  describe.skipIf(!isReady)('from the outside', () => {
    const open = async (): Promise<RunningRegistry> => {
      const place = await SeedPlace.open(driver);
      const seed = await place.startSeed({ swarm: { enabled: false } });
      const close = async (): Promise<void> => {
        await seed[Symbol.asyncDispose]();
        await place[Symbol.asyncDispose]();
      };
      return { url: `http://${seed.facade}`, [Symbol.asyncDispose]: close };
    };
    // The suite of storages has both hash functions for each driver; here one takes half of the time.
    describeDistribution(`a seed over ${driver}`, open, ['sha256']);
  });
}

const prepared = spawnSync(SCRIPT, ['--prepare'], { encoding: 'utf8', timeout: TIMEOUT_MS });
const canRun = requirement(
  'the conformance suites of the distribution specification',
  prepared.status === 0,
  `install go, git and curl, and let this machine reach the specification's repository (${prepared.stderr.trim()})`,
);

describe.skipIf(!canRun)('the specification', () => {
  test(
    'every check of its suites that applies is passed',
    () => {
      const { status, stdout, stderr } = spawnSync(SCRIPT, [], { encoding: 'utf8', timeout: TIMEOUT_MS });
      expect(status, stdout + stderr).toBe(0);
      // Skipped are two steps for registries that take no pushes, and the two ways that mounts go in registries that search all
      // repositories for a blob or that have none to mount.
      expect(stdout).toMatch(/^release-1\.1\.1: passed: .*\b75 Passed\b.*\b0 Failed\b.*\b4 Skipped\b/m);
      // Skipped are mounts from nowhere, once for each hash function.
      expect(stdout).toMatch(/^main-1\.1: passed: .*\bSkip: 2\b.*FAIL: 0\b/m);
      expect(stdout).toMatch(/^main-dev: passed: .*\bSkip: 2\b.*FAIL: 0\b/m);
    },
    TIMEOUT_MS,
  );
});
