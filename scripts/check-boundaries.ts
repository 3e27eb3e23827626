/**
 * Checks that imports run downward only (`.dependency-cruiser.cjs` says what that is), and that the check saw the tree:
 * a tool that cannot read TypeScript finds no modules, and then finds no fault either.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs';
const FOLDERS = ['src', 'node', 'tracker', 'test', 'scripts'];
/** Well below what the tree holds, packages and Node's own modules included. */
const LEAST_MODULES = 150;
const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024;

interface CruiseResult {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
      readonly cycle?: readonly { readonly name: string }[];
    }[];
  };
}

function cruise(): CruiseResult {
  const argv = [PROGRAM, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', ...FOLDERS];
  const run = spawnSync(process.execPath, argv, { cwd: ROOT, encoding: 'utf8', maxBuffer: OUTPUT_LIMIT_BYTES });
  if (run.error !== undefined) throw run.error;
  if (run.stdout === '') throw new Error(`dependency-cruiser said nothing: ${run.stderr}`);
  return JSON.parse(run.stdout) as CruiseResult;
}

const { totalCruised, violations } = cruise().summary;
for (const { rule, from, to, cycle } of violations) {
  const way = cycle === undefined ? to : cycle.map(({ name }) => name).join(' → ');
  process.stderr.write(`${rule.name}: ${from} → ${way}\n`);
}
if (totalCruised < LEAST_MODULES) {
  process.stderr.write(
    `only ${totalCruised} modules were seen, at least ${LEAST_MODULES} are there: nothing was checked\n`,
  );
}
if (violations.length > 0 || totalCruised < LEAST_MODULES) process.exitCode = 1;
else process.stdout.write(`boundaries: ${totalCruised} modules, all imports run downward\n`);
