/** The distribution specification's own suites, which are Go programs, against a seed. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/conformance', import.meta.url));
/** The first run fetches and builds both suites. */
const TIMEOUT_MS = 400_000;

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
      expect(stdout).toMatch(/^release-1\.1\.1: passed: .*\b75 Passed\b.*\b0 Failed\b/m);
      expect(stdout).toMatch(/^main-1\.1: passed: .*FAIL: 0\b/m);
      expect(stdout).toMatch(/^main-dev: passed: .*FAIL: 0\b/m);
    },
    TIMEOUT_MS,
  );
});
