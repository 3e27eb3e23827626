/**
 * What is published: packed as for the registry, installed into an empty folder elsewhere, and run there.
 *
 * The package is made in a copy of the tree, so that the checkout stays as it is while other tests run.
 */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { freePort } from '../support/programs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKED = [
  'src',
  'node',
  'tracker',
  'docs',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'package.json',
  'package-lock.json',
];
const BUILD_FILES = ['tsconfig.json', 'tsconfig.build.json'];
const INSTALL_TIMEOUT_MS = 240_000;
const READY_TIMEOUT_MS = 30_000;
const POLL_INTERVAL_MS = 100;

// The Node that runs this test is the Node that runs the package, whatever else is on PATH.
const PATH = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);
const run = promisify(execFile);

function canReachRegistry(): boolean {
  const ping = spawnSync('npm', ['ping', '--fetch-retries=0', '--fetch-timeout=5000'], {
    env: { ...process.env, PATH },
  });
  return ping.status === 0;
}

const isReachable = requirement(
  'npm and its registry',
  canReachRegistry(),
  'install npm, and let it reach a package registry',
);

async function readPackageVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return version;
}

/** Waits until `url` answers with 200; throws with what the process said when it ends before, or at the deadline. */
async function waitForAnswer(url: string, child: ChildProcess, said: () => string): Promise<string> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return await answer.text();
    await delay(POLL_INTERVAL_MS);
  }
  throw new Error(`${url} did not answer; the process said:\n${said()}`);
}

describe.skipIf(!isReachable)('the package, installed elsewhere', () => {
  let folder = '';
  let installed = '';
  let command = '';
  let env: NodeJS.ProcessEnv = {};
  let packedFiles: string[] = [];
  let shape: Awaited<ReturnType<typeof publint>> | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-package-'));
    // Flags of a surrounding `npm run` and options of a node on this machine must not leak in.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_(?!config_)|DOCKYARD_)/.test(name));
    env = { ...Object.fromEntries(inherited), PATH };
    const tree = join(folder, 'tree');
    await mkdir(tree);
    for (const name of [...PACKED, ...BUILD_FILES]) await cp(join(ROOT, name), join(tree, name), { recursive: true });
    // Links instead of bytes: packing follows the folders of the bundled packages, and so wants real ones.
    const modules = [join(ROOT, 'node_modules'), join(tree, 'node_modules')] as const;
    // Links do not reach from one file system to another.
    await run('cp', ['-al', ...modules]).catch(() => run('cp', ['-a', ...modules]));
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: tree, env });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string; files: { path: string }[] }[];
    packedFiles = (packed?.files ?? []).map(({ path }) => path);
    // Without the packages of others, whose shape is theirs.
    await rm(modules[1], { recursive: true });
    shape = await publint({ pkgDir: tree, pack: false, strict: true });

    const home = join(folder, 'home');
    await mkdir(home);
    const argv = [
      'install',
      '--prefix',
      home,
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      join(folder, packed?.filename ?? ''),
    ];
    await run('npm', argv, { cwd: home, env, timeout: INSTALL_TIMEOUT_MS });
    installed = join(home, 'node_modules', 'dockyard');
    command = join(home, 'node_modules', '.bin', 'dockyard');
  }, INSTALL_TIMEOUT_MS);

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test('holds JavaScript with types and the documents, and no TypeScript, tests or configuration of tools', () => {
    const own = packedFiles.filter((path) => !path.startsWith('node_modules/'));
    const unexpected = own.filter(
      (path) => !/^(dist\/.+\.(js|d\.ts)|docs\/.+|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/.test(path),
    );
    expect(unexpected).toEqual([]);
    expect(own).toEqual(
      expect.arrayContaining(['dist/node/main.js', 'dist/node/main.d.ts', 'docs/ERRORS.md', 'LICENSE']),
    );
  });

  test('imports nothing by the name of its source', async () => {
    const paths = packedFiles.filter((path) => /^dist\/.+\.js$/.test(path));
    const misnamed: string[] = [];
    for (const path of paths)
      if (/(?:from |import\()'[^']+\.ts'/.test(await readFile(join(installed, path), 'utf8'))) misnamed.push(path);
    expect([paths.length > 100, misnamed]).toEqual([true, []]);
  });

  test('has a package.json that agrees with the files', () => {
    expect(shape?.messages).toEqual([]);
  });

  // Overrides hold only in the root of an installation. A package that is needed with an override travels in the bundle.
  test('brings the overridden versions with it, and no tools', async () => {
    const own = join(installed, 'node_modules');
    const { version } = JSON.parse(await readFile(join(own, 'node-datachannel', 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(version).toMatch(/^0\.33\./);
    const names = [...(await readdir(dirname(installed))), ...(await readdir(own))];
    expect(names).not.toContain('typescript');
    expect(names).not.toContain('vitest');
  });

  test('`dockyard --version` prints the version', async () => {
    const { stdout } = await run(command, ['--version'], { cwd: folder, env });
    expect(stdout.trim()).toBe(await readPackageVersion());
  });

  test('`dockyard node` answers at /livez and /v2/, and ends on SIGTERM', async () => {
    const [listenPort, adminPort] = [await freePort(), await freePort()];
    const [listen, admin] = [`127.0.0.1:${listenPort}`, `127.0.0.1:${adminPort}`];
    const argv = [
      'node',
      '--data',
      join(folder, 'data'),
      '--listen',
      listen,
      '--admin',
      admin,
      '--swarm',
      '127.0.0.1:0',
    ];
    const child = spawn(command, argv, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    try {
      await waitForAnswer(`http://${admin}/livez`, child, () => said);
      expect((await fetch(`http://${listen}/v2/`)).status).toBe(200);
      child.kill('SIGTERM');
      const [exitCode] = (await once(child, 'exit', { signal: AbortSignal.timeout(READY_TIMEOUT_MS) })) as [
        number | null,
      ];
      expect(exitCode).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
