/** The pages under docs/ that follow from the code. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

test('the generated pages under docs/ say what the code says', () => {
  const check = spawnSync(process.execPath, ['scripts/generate-docs.ts', '--check'], { cwd: ROOT, encoding: 'utf8' });
  expect(check.stderr).toBe('');
  expect(check.status).toBe(0);
});
