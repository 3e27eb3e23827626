/**
 * App container images from outside: built by tar and packed by the real programs, signed by gpg, pushed and pulled by curl, led
 * to by pages of a plain web server; and a discovery client that is written from the specification and knows nothing of ours.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AciDownload, type AciSink } from '../../src/appc/discovery/aci-download.ts';
import { Discovery } from '../../src/appc/discovery/discovery.ts';
import { readKeyring } from '../../src/appc/signature/keyring.ts';
import { parseAppReference } from '../../src/appc/values/app-reference.ts';
import { requirement } from '../skip-reasons.ts';
import { testManifest } from '../support/aci-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { endProcess, freePort, isInstalled, mustRun, run, until } from '../support/programs.ts';
import { openClient } from '../unit/appc/discovery/web-fixture.ts';

const NEEDED = { curl: 'curl', gpg: 'gnupg', tar: 'tar', xz: 'xz-utils', bzip2: 'bzip2', python3: 'python3' };
const hasAll = Object.entries(NEEDED)
  .map(([program, name]) => requirement(program, isInstalled(program), `apt-get install ${name}`))
  .every((isThere) => isThere);

const NAME = '127.0.0.1/team/app';
const LABELS = { version: '1.0', os: 'linux', arch: 'amd64' };

describe.skipIf(!hasAll)('app container images and real clients', () => {
  let folder = '';
  let gpgHome: Record<string, string> = {};
  let seed: NodeProcess;
  const images = new Map<string, { file: string; signature: string }>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-appc-'));
    gpgHome = { GNUPGHOME: join(folder, 'gnupg') };
    await mkdir(join(folder, 'gnupg'), { mode: 0o700 });
    const quiet = ['--batch', '--quiet', '--passphrase', ''];
    await mustRun(
      'gpg',
      [...quiet, '--quick-generate-key', 'builder@example.com', 'rsa3072', 'sign', 'never'],
      gpgHome,
    );
    await mustRun('gpg', ['--batch', '--export', '--output', join(folder, 'keys.gpg')], gpgHome);
    await writeFile(join(folder, 'users'), '# who may push\nann:secret\n');
    await buildImages();
    const appc = [
      '--appc-enabled=true',
      '--appc-keys',
      join(folder, 'keys.gpg'),
      '--appc-users',
      join(folder, 'users'),
    ];
    seed = await NodeProcess.startSeed(['--data', join(folder, 'seed'), ...appc]);
  });

  afterAll(async () => {
    await seed?.[Symbol.asyncDispose]();
    await mustRun('gpgconf', ['--kill', 'all'], gpgHome);
    await rm(folder, { recursive: true, force: true });
  });

  /** One tree, packed in every way. */
  async function buildImages(): Promise<void> {
    const tree = join(folder, 'tree');
    await mkdir(join(tree, 'rootfs/etc'), { recursive: true });
    await writeFile(join(tree, 'rootfs/etc/passwd'), 'root:x:0:0::/:/bin/sh\n'.repeat(20_000));
    const random = seededRandom(18);
    const noise = Buffer.from(Array.from({ length: 200_000 }, () => Math.floor(random() * 256)));
    await writeFile(join(tree, 'rootfs/etc/noise'), noise);
    await symlink('/proc/mounts', join(tree, 'rootfs/etc/mtab'));
    await writeFile(join(tree, 'manifest'), testManifest(NAME, LABELS));
    const plain = join(folder, 'plain.aci');
    await mustRun('tar', ['--create', '--file', plain, '--directory', tree, 'manifest', 'rootfs']);
    images.set('none', { file: plain, signature: await sign(plain) });
    for (const program of ['gzip', 'bzip2', 'xz']) {
      const file = join(folder, `${program}.aci`);
      await mustRun('sh', ['-c', `${program} --stdout "$1" > "$2"`, 'sh', plain, file]);
      images.set(program, { file, signature: await sign(file) });
    }
  }

  async function sign(file: string): Promise<string> {
    await mustRun('gpg', ['--batch', '--quiet', '--armor', '--detach-sign', '--output', `${file}.asc`, file], gpgHome);
    return `${file}.asc`;
  }

  function image(packing: string): { file: string; signature: string } {
    const found = images.get(packing);
    if (found === undefined) throw new Error(`no image is packed with ${packing}`);
    return found;
  }

  function urlOf(version: string, extension: string): string {
    return `http://${seed.facade}/appc/images/${NAME}/${version}/linux/amd64.${extension}`;
  }

  /** What curl writes of a request: the status, and what went before. */
  async function curl(...args: string[]): Promise<string> {
    return await mustRun('curl', ['--silent', '--user', 'ann:secret', '--write-out', '%{http_code}', ...args]);
  }

  test.each(['none', 'gzip', 'bzip2', 'xz'])(
    'curl pushes one packed with %s, gets it back, and gpg says that it is good',
    async (packing) => {
      const { file, signature } = image(packing);
      expect(await curl('--upload-file', signature, urlOf('1.0', 'aci.asc'))).toMatch(/202$/);
      const pushed = await curl('--upload-file', file, urlOf('1.0', 'aci'));
      expect(pushed).toMatch(/201$/);
      const sha512 = createHash('sha512').update(await readFile(image('none').file));
      expect(pushed).toContain(`sha512-${sha512.digest('hex')}`);
      const back = join(folder, `back-${packing}`);
      for (const extension of ['aci', 'aci.asc'])
        expect(await curl('--output', `${back}.${extension}`, urlOf('1.0', extension))).toBe('200');
      await mustRun('gpg', ['--batch', '--verify', `${back}.aci.asc`, `${back}.aci`], gpgHome);
      await mustRun('cmp', [file, `${back}.aci`]);
    },
  );

  test('curl goes on where it ended, and asks in vain for what has not changed', async () => {
    const { file } = image('xz');
    const part = join(folder, 'part.aci');
    await writeFile(part, (await readFile(file)).subarray(0, 1000));
    expect(await curl('--continue-at', '-', '--output', part, urlOf('1.0', 'aci'))).toBe('206');
    await mustRun('cmp', [file, part]);
    const tag = join(folder, 'etag');
    expect(await curl('--etag-save', tag, '--output', part, urlOf('1.0', 'aci'))).toBe('200');
    expect(await curl('--etag-compare', tag, '--output', part, urlOf('1.0', 'aci'))).toBe('304');
    expect(await curl('--location', '--output', part, urlOf('latest', 'aci'))).toBe('200');
    await mustRun('cmp', [file, part]);
  });

  test('what gpg signed for another file is refused, and the older image stays', async () => {
    const before = await curl('--head', urlOf('1.0', 'aci'));
    expect(await curl('--upload-file', image('gzip').signature, urlOf('1.0', 'aci.asc'))).toMatch(/202$/);
    const refused = await curl('--upload-file', image('bzip2').file, urlOf('1.0', 'aci'));
    expect(refused).toMatch(/400$/);
    expect(refused).toContain('made for another file');
    const etagOf = (head: string): string | undefined => /etag: (\S+)/i.exec(head)?.[1];
    expect(etagOf(await curl('--head', urlOf('1.0', 'aci')))).toBe(etagOf(before));
  });

  test('whoever gives no password, or a wrong one, does not push', async () => {
    for (const user of [[], ['--user', 'ann:wrong']]) {
      const args = ['--silent', '--output', '/dev/null', '--write-out', '%{http_code}', ...user];
      const { output } = await run('curl', [...args, '--upload-file', image('gzip').file, urlOf('1.0', 'aci')]);
      expect(output).toBe('401');
    }
  });

  test('a discovery client of its own finds image, signature and keys by the name alone', async () => {
    const { meta, attempts } = await discover(NAME, seed.facade);
    expect(attempts).toEqual([`http://${seed.facade}/team/app?ac-discovery=1`]);
    const template = meta.find(({ name }) => name === 'ac-discovery');
    const keys = meta.find(({ name }) => name === 'ac-discovery-pubkeys');
    for (const extension of ['aci', 'aci.asc']) {
      const url = render(template?.url ?? '', { name: NAME, ...LABELS, ext: extension });
      expect(await curl('--output', join(folder, `found.${extension}`), url)).toBe('200');
    }
    expect(await curl('--output', join(folder, 'found.gpg'), keys?.url ?? '')).toBe('200');
    const home = { GNUPGHOME: join(folder, 'gnupg-2') };
    await mkdir(home.GNUPGHOME, { mode: 0o700 });
    await mustRun('gpg', ['--batch', '--quiet', '--import', join(folder, 'found.gpg')], home);
    await mustRun('gpg', ['--batch', '--verify', join(folder, 'found.aci.asc'), join(folder, 'found.aci')], home);
    await mustRun('gpgconf', ['--kill', 'all'], home);
  });

  test('the page of a plain web server leads our client to an image on the seed', async () => {
    const root = join(folder, 'web');
    await mkdir(root);
    const template = `http://${seed.facade}/appc/images/{name}/{version}/{os}/{arch}.{ext}`;
    await writeFile(
      join(root, 'index.html'),
      `<!doctype html><html><head><title>web</title><meta name="ac-discovery" content="127.0.0.1 ${template}"></head></html>`,
    );
    const port = await freePort();
    const args = ['-m', 'http.server', '--bind', '127.0.0.1', '--directory', root, String(port)];
    const server = spawn('python3', args, { stdio: 'ignore' });
    try {
      await until('the web server answers', async () =>
        fetch(`http://127.0.0.1:${port}/`).then(
          ({ ok }) => ok,
          () => false,
        ),
      );
      await using web = openClient();
      const reference = parseAppReference(`${NAME}:1.0,os=linux,arch=amd64`);
      const { attempts, endpoints } = await new Discovery({ web }, { httpPort: port, httpsPort: 1 }).find(reference);
      expect(attempts.join()).toContain('/team/app?ac-discovery=1');
      const [endpoint] = endpoints;
      if (endpoint === undefined) throw new Error('no endpoint was found');
      const download = new AciDownload({ web, clock: { nowMs: () => Date.now() }, random: () => 0.5 });
      const keyring = await readKeyring([{ name: 'keys', bytes: await readFile(join(folder, 'keys.gpg')) }]);
      const sink = new PartsSink();
      const fetched = await download.fetch({ endpoint, reference, keyring }, sink);
      expect(fetched).toMatchObject({ compression: 'xz', signedBy: { fingerprint: keyring.fingerprints[0] } });
      expect(Buffer.concat(sink.parts).equals(await readFile(image('xz').file))).toBe(true);
    } finally {
      await endProcess(server);
    }
  });
});

/** Keeps what comes. */
class PartsSink implements AciSink {
  parts: Buffer[] = [];
  #etag: string | undefined;

  held() {
    return Promise.resolve({ sizeBytes: Buffer.concat(this.parts).length, etag: this.#etag });
  }

  restart(etag: string | undefined) {
    this.parts = [];
    this.#etag = etag;
    return Promise.resolve();
  }

  append(bytes: Uint8Array) {
    this.parts.push(Buffer.from(bytes));
    return Promise.resolve();
  }

  async *read() {
    for (const part of this.parts) yield await Promise.resolve(part);
  }
}

interface FoundTag {
  readonly name: string;
  readonly url: string;
}

/** Walks from the page of a name up to its host, as the specification has it; `host` stands for that of the name. */
async function discover(name: string, host: string): Promise<{ meta: FoundTag[]; attempts: string[] }> {
  const parts = name.split('/').slice(1);
  const attempts: string[] = [];
  for (let end = parts.length; end >= 0; end -= 1) {
    const url = `http://${host}/${parts.slice(0, end).join('/')}?ac-discovery=1`;
    attempts.push(url);
    const { exitCode, output } = await run('curl', ['--silent', '--fail', '--location', url]);
    if (exitCode !== 0) continue;
    const [head = ''] = output.split('</head>');
    const meta = [...head.matchAll(/<meta name="(ac-[a-z-]+)" content="(\S+) (\S+)">/g)]
      .filter(([, , prefix = '']) => name.startsWith(prefix))
      .map(([, tag = '', , target = '']) => ({ name: tag, url: target }));
    if (meta.length > 0) return { meta, attempts };
  }
  return { meta: [], attempts };
}

function render(template: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((text, [key, value]) => text.replaceAll(`{${key}}`, value), template);
}
