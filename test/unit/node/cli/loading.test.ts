/** What a command does not need it does not load: `dockyard status` in a script, or in a prompt, answers at once. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { mustRun } from '../../../support/programs.ts';

const MAIN = fileURLToPath(new URL('../../../../node/main.ts', import.meta.url));
const TELL_MODULES = `data:text/javascript,
  import { registerHooks } from 'node:module';
  const seen = [];
  registerHooks({ load(url, context, next) { seen.push(url); return next(url, context); } });
  process.on('exit', () => process.stdout.write(seen.join('\\n')));`;

test('a command loads the registry, the swarm and the storage only when it works with them', async () => {
  const loaded = await mustRun(process.execPath, ['--import', TELL_MODULES, MAIN, '--version']);
  expect(loaded).toContain('node/cli/run.ts');
  for (const part of ['undici', 'libp2p', 'level', 'koa', 'pino', 'prom-client', 'webtorrent', '@aws-sdk/client-s3']) {
    expect(loaded).not.toContain(`/node_modules/${part}/`);
  }
});
