/** The end of a test run: what was skipped and why, then the totals alone on the last line. */
import { relative } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';

/** What one line of the list of skipped tests says. */
interface SkippedFile {
  readonly path: string;
  readonly skippedCount: number;
  readonly reasons: readonly string[];
}

/**
 * Prints, as the last thing of a run, each file with skipped tests and the reasons that `requirement` recorded there, and then
 * `N passed, N failed, N skipped`. A file that cannot be loaded, a
 * `describe` whose hooks fail, and an error outside of any test count as one failure each.
 */
export class SkipReporter implements Reporter {
  #root = '';

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const text = `${describeSkipped(modules, this.#root)}\n${describeTotals(modules, unhandledErrors.length)}\n`;
    // The default reporter and the coverage report write after this call; the totals are to stand last.
    process.once('exit', () => process.stdout.write(text));
  }
}

function describeSkipped(modules: readonly TestModule[], root: string): string {
  const files: SkippedFile[] = [];
  for (const module of modules) {
    const skippedCount = [...module.children.allTests('skipped')].length;
    if (skippedCount === 0) continue;
    const unmet = module.meta().unmetRequirements ?? [];
    const reasons = unmet.map(({ name, remedy }) => `needs ${name}: ${remedy}`);
    if (hasFailedSuite(module)) reasons.push('what should have prepared them failed: see above');
    if (reasons.length === 0) reasons.push('no reason recorded: see the file');
    files.push({ path: relative(root, module.moduleId), skippedCount, reasons });
  }
  if (files.length === 0) return '\nNothing was skipped.';
  const lines = files.flatMap(({ path, skippedCount, reasons }) => [
    `  ${path} (${skippedCount})`,
    ...reasons.map((reason) => `      ${reason}`),
  ]);
  return ['\nSkipped:', ...lines].join('\n');
}

/** Tests whose hooks fail before them count as skipped. */
function hasFailedSuite(module: TestModule): boolean {
  return [...module.children.allSuites()].some((suite) => suite.errors().length > 0);
}

function describeTotals(modules: readonly TestModule[], unhandledErrorCount: number): string {
  const totals = { passed: 0, failed: unhandledErrorCount, skipped: 0 };
  for (const module of modules) {
    totals.failed += module.errors().length;
    for (const suite of module.children.allSuites()) totals.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test still pending at the end was cut off.
      totals[state === 'pending' ? 'failed' : state] += 1;
    }
  }
  return `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`;
}
