/** `dockyard fetch` of app container images, from a plain web server and from torrent clients. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { join } from 'node:path';
import { createHash, randomBytes } from 'node:crypto';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { packed, testImage } from '../support/aci-builder.ts';
import { dockyard, type CommandOutcome } from '../support/command-process.ts';
import { NodeProcess } from '../support/node-process.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { endProcess, freePort, isInstalled, until } from '../support/programs.ts';
import { requireSeeders, startSeeder } from '../support/torrent-seeders.ts';

const HOST = 'apps.example.test';
const NAME = `${HOST}/team/app`;
const SEED_HOST = 'seed.example.test';

const hasPython = requirement('python3', isInstalled('python3'), 'apt-get install python3, whose web server is used');
const hasGpg = requirement('gpg', isInstalled('gpg'), 'apt-get install gpg, which signs the images');
const hasSeeders = requireSeeders();

/** The standard library's server over TLS: it knows nothing of apps, ranges or registries. */
const PYTHON_SERVER = `
import http.server, ssl, sys
folder, port, cert, key = sys.argv[1:]
handler = lambda *args: http.server.SimpleHTTPRequestHandler(*args, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
`;

describe.skipIf(!hasPython || !hasGpg)('dockyard fetch and app container images', () => {
  let folder = '';
  let site = '';
  let output = '';
  let count = 0;
  let web: Web;
  const stack = new AsyncDisposableStack();
  const image = packed(testImage(NAME, { body: Buffer.alloc(300_000, 'app') }), 'gzip');
  const imageId = `sha512-${createHash('sha512')
    .update(testImage(NAME, { body: Buffer.alloc(300_000, 'app') }))
    .digest('hex')}`;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-fetch-app-'));
    stack.defer(async () => await rm(folder, { recursive: true, force: true }));
    site = join(folder, 'site');
    await mkdir(join(site, 'team'), { recursive: true });
    const template = `https://${HOST}/files/{name}-{version}-{os}-{arch}.{ext}`;
    await writeFile(
      join(site, 'index.html'),
      `<html><head><meta name="ac-discovery" content="${NAME} ${template}"></head></html>`,
    );
    await mkdir(join(site, 'files', NAME), { recursive: true });
    makeKeys(folder);
    await publish(`${NAME}-1.0-linux-amd64`, image);
    web = await openWeb(folder, site, stack);
  });

  afterAll(async () => await stack.disposeAsync());

  beforeEach(() => {
    output = join(folder, `output-${(count += 1)}.aci`);
  });

  /** Puts an image on the site, and the signature of it or of something else. */
  async function publish(name: string, bytes: Buffer, signed: Buffer = bytes): Promise<void> {
    await writeFile(join(site, 'files', `${name}.aci`), bytes);
    await writeFile(join(site, 'files', `${name}.aci.asc`), sign(folder, signed));
  }

  async function fetchApp(args: readonly string[]): Promise<CommandOutcome> {
    return await dockyard(['fetch', ...args, '--output', output, '--json'], web.environment);
  }

  function done({ out }: CommandOutcome): unknown {
    return JSON.parse(out.trim().split('\n').at(-1) ?? '');
  }

  test('a page of a plain web server leads to the image and its signature', async () => {
    const outcome = await fetchApp([`${NAME}:1.0`, '--key', join(folder, 'key.asc'), '--platform', 'linux/amd64']);
    expect([outcome.code, outcome.err]).toEqual([0, '']);
    expect(done(outcome)).toMatchObject({ what: 'app', imageId, place: output, sizeBytes: image.length });
    expect((done(outcome) as { signedBy: string }).signedBy).toMatch(/^[0-9A-F]{40}$/);
    expect((await readFile(output)).equals(image)).toBe(true);
    expect(await readFile(`${output}.asc`, 'utf8')).toContain('BEGIN PGP SIGNATURE');
    const again = await fetchApp([`${NAME}:1.0,os=linux,arch=amd64`, '--unsigned']);
    expect([again.code, again.err]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
  });

  test('false signatures, other images than were meant and names that nobody knows are refused, and nothing is left', async () => {
    await publish(`${NAME}-2.0-linux-amd64`, image, Buffer.from('something else'));
    await publish(`${NAME}-3.0-linux-amd64`, image);
    const key = ['--key', join(folder, 'key.asc')];
    const expected = [
      [[`${NAME}:2.0,os=linux,arch=amd64`, ...key], 5, 'ERR_SIGNATURE_INVALID'],
      [[`${NAME}:3.0,os=linux,arch=amd64`, ...key], 5, 'ERR_ACI_MISMATCH'],
      [[`${NAME}:1.0,os=linux,arch=amd64`, ...key, '--image-id', `sha512-${'0'.repeat(128)}`], 5, 'ERR_ACI_MISMATCH'],
      [[`${NAME}:9.0,os=linux,arch=amd64`, ...key], 4, 'ERR_ACI_UNKNOWN'],
      [[`${NAME}:9.0`, ...key, '--platform', 'linux/amd64'], 4, 'ERR_FETCH_ABSENT'],
      [[`${NAME}:9.0`], 4, 'say whose signature'],
      [[`${HOST}/other:1.0`, ...key], 4, 'ERR_FETCH_ABSENT'],
      [[`${NAME}:1.0,os=linux,arch=amd64`], 2, '--key FILE, or --unsigned'],
      [[`${NAME}:1.0,os=linux,arch=amd64`, ...key, '--p2p'], 4, 'without a torrent'],
    ] as const;
    for (const [args, code, text] of expected) {
      const outcome = await fetchApp(args);
      expect([args, outcome.code, outcome.err]).toEqual([args, code, expect.stringContaining(text)]);
      expect([existsSync(output), existsSync(`${output}.asc`)]).toEqual([false, false]);
    }
  });

  test.skipIf(!hasSeeders)(
    'an app in a torrent is checked before it gets its name: form, image ID and signature',
    async () => {
      const content = join(folder, 'app');
      await mkdir(content);
      await writeFile(join(content, 'app.aci'), image);
      await writeFile(join(content, 'app.aci.asc'), sign(folder, image));
      const torrentFile = join(folder, 'app.torrent');
      expect(await dockyard(['torrent', 'create', content, '--output', torrentFile])).toMatchObject({ code: 0 });
      await using seeder = await startSeeder('aria2c', { folder, torrentFile });
      const args = ['fetch', '--p2p', torrentFile, '--peer', seeder.address, '--output', output];
      const unsaid = await dockyard(args);
      expect([unsaid.code, unsaid.err]).toEqual([2, expect.stringContaining('holds an app')]);
      const other = await dockyard([...args, '--unsigned', '--image-id', `sha512-${'0'.repeat(128)}`]);
      expect([other.code, other.err]).toEqual([5, expect.stringContaining('ERR_ACI_MISMATCH')]);
      expect(existsSync(output)).toBe(false);
      const right = await dockyard([...args, '--key', join(folder, 'key.asc'), '--image-id', imageId, '--json']);
      expect([right.code, right.err]).toEqual([0, '']);
      expect(done(right)).toMatchObject({ what: 'app', imageId, signedBy: expect.stringMatching(/^[0-9A-F]{40}$/) });
      expect((await readFile(join(output, 'app.aci'))).equals(image)).toBe(true);
    },
  );

  test('a seed leads to its app, which comes by the torrent that it offers, from the seed and not over HTTP alone', async () => {
    const name = `${SEED_HOST}/team/app`;
    const plain = testImage(name, { body: randomBytes(1_500_000) });
    const aci = packed(plain, 'gzip', 1);
    const id = `sha512-${createHash('sha512').update(plain).digest('hex')}`;
    await using tracker = await openLoopbackTracker();
    const torrentAddress = `127.0.0.1:${await freePort()}`;
    const torrents = ['--torrent', torrentAddress, '--tracker', `http://127.0.0.1:${tracker.port}/announce`];
    const key = join(folder, 'key.asc');
    const appc = ['--appc-enabled=true', '--appc-keys', key, '--appc-url', `https://${SEED_HOST}`];
    await using seed = await NodeProcess.startSeed(['--data', join(folder, 'seed'), ...appc, ...torrents]);
    await using front = await openFront(folder, seed.facade);
    web.ports.set(SEED_HOST, front.port);
    const path = `/appc/images/${name}/1.0/linux/amd64`;
    const signature = sign(folder, aci);
    expect((await ask(seed, 'PUT', `${path}.aci.asc`, signature)).status).toBe(202);
    expect((await ask(seed, 'PUT', `${path}.aci`, aci)).status).toBe(201);

    const wanted = `${name}:1.0,os=linux,arch=amd64`;
    const preferred = await fetchApp([wanted, '--key', key]);
    expect([preferred.code, preferred.err]).toEqual([0, '']);
    expect(done(preferred)).toMatchObject({
      what: 'app',
      imageId: id,
      signedBy: expect.stringMatching(/^[0-9A-F]{40}$/),
    });
    expect(done(preferred)).not.toHaveProperty('detour');
    expect((await readFile(output)).equals(aci)).toBe(true);
    expect((await readFile(`${output}.asc`)).equals(signature)).toBe(true);
    // The seed makes a torrent only when someone asks for it.
    expect(await seed.metric('dockyard_torrents')).toBe(1);

    // Its torrent file alone, when nothing can be had from the seed but by torrent.
    const { link } = (await ask(seed, 'HEAD', `${path}.aci`)).headers;
    const [, torrentPath = ''] = /^<([^>]+\.torrent)>; rel=describedby/.exec(String(link)) ?? [];
    const torrentFile = join(folder, 'seed-app.torrent');
    await writeFile(torrentFile, (await ask(seed, 'GET', torrentPath)).body);
    await writeFile(join(folder, 'seed-app.asc'), signature);
    web.ports.delete(SEED_HOST);
    const sentBytes = await seed.metric('dockyard_torrent_bytes_total', { direction: 'sent' });
    const trust = ['--key', key, '--signature', join(folder, 'seed-app.asc'), '--image-id', id];
    const again = [`${output}-2`, '--json'];
    const byFile = await dockyard(['fetch', '--p2p', torrentFile, ...trust, '--output', ...again], web.environment);
    expect([byFile.code, byFile.err]).toEqual([0, '']);
    expect(done(byFile)).toMatchObject({ what: 'app', imageId: id, signedBy: expect.stringMatching(/^[0-9A-F]{40}$/) });
    expect((await readFile(`${output}-2`)).equals(aci)).toBe(true);
    await until(
      'the seed has counted what it sent',
      async () => (await seed.metric('dockyard_torrent_bytes_total', { direction: 'sent' })) - sentBytes >= aci.length,
    );
  });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** A request to a seed under the name that it has outside. */
async function ask({ facade }: NodeProcess, method: string, path: string, body?: Buffer): Promise<Answer> {
  const asked = request(`http://${facade}${path}`, { method, headers: { host: SEED_HOST } });
  asked.end(body);
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) };
}

/** What speaks TLS before a seed, and passes all else on. */
async function openFront(folder: string, facade: string): Promise<{ readonly port: number } & AsyncDisposable> {
  const [cert, key] = [await readFile(join(folder, 'cert.pem')), await readFile(join(folder, 'key.pem'))];
  const server = createSecureServer({ cert, key }, (asked, response) => {
    const { method, headers, url = '/' } = asked;
    const passed = request(`http://${facade}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    asked.pipe(passed);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A key of the real gpg, whose public half lies in `key.asc`. */
function makeKeys(folder: string): void {
  const home = join(folder, 'gpg');
  execFileSync('mkdir', ['-m', '700', home]);
  const gpg = ['--homedir', home, '--batch', '--quiet'];
  execFileSync('gpg', [...gpg, '--passphrase', '', '--quick-gen-key', 'test@example.com', 'ed25519', 'sign'], {
    stdio: 'ignore',
  });
  execFileSync('gpg', [...gpg, '--armor', '--output', join(folder, 'key.asc'), '--export', 'test@example.com']);
}

function sign(folder: string, bytes: Buffer): Buffer {
  const gpg = ['--homedir', join(folder, 'gpg'), '--batch', '--quiet', '--armor', '--detach-sign'];
  return execFileSync('gpg', [...gpg, '--output', '-'], { input: bytes });
}

interface Web {
  /** What a command must be told to get there. */
  readonly environment: Record<string, string>;
  /** Where the hosts of this web listen. */
  readonly ports: Map<string, number>;
}

/** The site over https under its own name: names of apps have no port, so a proxy leads from there to where it listens. */
async function openWeb(folder: string, site: string, stack: AsyncDisposableStack): Promise<Web> {
  const made = await generate([{ name: 'commonName', value: HOST }], {
    keySize: 2048,
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [HOST, SEED_HOST].map((value) => ({ type: 2, value })) },
    ],
  });
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await writeFile(cert, made.cert);
  await writeFile(key, made.private);
  const port = await freePort();
  const server = spawn('python3', ['-c', PYTHON_SERVER, site, String(port), cert, key], { stdio: 'ignore' });
  stack.defer(async () => await endProcess(server));
  await until('the web server listens', async () => await answers(port));
  const ports = new Map([[HOST, port]]);
  const proxy = await openProxy(ports, stack);
  const trusted = getCACertificates('default');
  // As NODE_EXTRA_CA_CERTS does for a process that begins.
  setDefaultCACertificates([...trusted, made.cert]);
  stack.defer(() => setDefaultCACertificates(trusted));
  return { environment: { HTTPS_PROXY: proxy, https_proxy: proxy, DOCKER_CONFIG: folder }, ports };
}

async function openProxy(ports: ReadonlyMap<string, number>, stack: AsyncDisposableStack): Promise<string> {
  const proxy: Server = createServer((_request, response) => void response.writeHead(405).end());
  proxy.on('connect', (asked, socket) => {
    const port = ports.get(asked.url?.replace(/:443$/, '') ?? '');
    if (port === undefined) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return;
    }
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  stack.defer(async () => {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return connected;
}
