/**
 * Why tests are skipped, told in one way.
 *
 * A test that needs something of the machine says so once and skips by the answer; what was missing reaches the list at the
 * end of `scripts/test` (see `test/skip-reporter.ts`), so that nothing is left out silently.
 */
import { TestRunner } from 'vitest';

/** Something that a test needs and this machine lacks. */
export interface UnmetRequirement {
  /** What is needed: `dockerd`. */
  readonly name: string;
  /** What a person can do about it: `apt-get install docker.io, and run as root`. */
  readonly remedy: string;
}

declare module 'vitest' {
  interface TaskMeta {
    /** What the test file lacks on this machine. */
    unmetRequirements?: UnmetRequirement[];
  }
}

/**
 * Tells that the tests of this file need something, and answers whether it is there. To be called while tests are
 * collected: at the top of a file, or in the body of a `describe`.
 *
 * @example
 * const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo');
 * describe.skipIf(!hasSkopeo)('skopeo copies an image through a node', () => { … });
 */
export function requirement(name: string, available: boolean, remedy: string): boolean {
  if (available) return true;
  const file = TestRunner.getCurrentSuite().file;
  if (file === undefined) throw new TypeError(`the requirement ${name} was stated outside of collection`);
  const unmet = (file.meta.unmetRequirements ??= []);
  if (!unmet.some((other) => other.name === name)) unmet.push({ name, remedy });
  return false;
}
