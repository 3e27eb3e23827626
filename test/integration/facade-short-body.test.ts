/**
 * What real clients do when a body ends before its length: by a FIN, as this project ends it, and by a reset, for
 * comparison. The finding stands in docs/decisions/0002-ending-a-body-short.md; these tests keep it true.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../src/oci/byte-range.ts';
import { DockyardError } from '../../src/oci/error.ts';
import { requirement } from '../skip-reasons.ts';
import { openTestFacade, type TestFacade } from '../unit/registry/facade-fixture.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import { isInstalled, run, type ProgramResult } from '../support/programs.ts';
import { makeImage, REFERENCE, serveImage, type TestImage } from './facade-short-body-fixture.ts';

const LAYER_FILE_BYTES = 8 * 1024 * 1024;
/** Not a multiple of anything that a client may read in. */
const CUT_AT_BYTES = 3_000_001;

const isRoot = process.getuid?.() === 0;
const hasContainerd = requireContainerd();
const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo');
const hasPodman = requirement('podman', isRoot && isInstalled('podman'), 'apt-get install podman, and run as root');
const hasDockerd = requireDockerd();
const hasCurl = requirement('curl', isInstalled('curl'), 'apt-get install curl');

let image: TestImage;
let node: TestFacade;
let reads: ByteRange[];

beforeEach(async () => {
  image = makeImage(LAYER_FILE_BYTES);
  node = await openTestFacade();
  serveImage(node, image);
  reads = [];
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

/** Breaks every read of the layer that begins before the cut; later ones are right, or refused. */
function breakLayer(afterwards: 'right' | 'refused'): void {
  node.blobs.read = async function* (bytes, range) {
    if (bytes.length !== image.layer.length) {
      yield* node.blobs.chunks(bytes, range);
      return;
    }
    reads.push(range);
    if (range.start < CUT_AT_BYTES) {
      yield* node.blobs.chunks(bytes, { start: range.start, end: CUT_AT_BYTES });
      throw new DockyardError('ERR_TRANSFER_BROKEN', 'every source failed');
    }
    if (afterwards === 'refused') throw new DockyardError('ERR_TRANSFER_UNAVAILABLE', 'no source can deliver');
    yield* node.blobs.chunks(bytes, range);
  };
}

/** A registry before the node that passes everything on, and resets the layer's connection at the cut. */
async function openResettingProxy(): Promise<AsyncDisposable & { url: string; ranges: (string | undefined)[] }> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const isLayer = request.url?.includes(image.layerDigest) === true && request.method === 'GET';
    if (isLayer) ranges.push(request.headers.range);
    void fetch(node.url + (request.url ?? ''), {
      method: request.method ?? 'GET',
      headers: forwardable(request.headers),
    }).then(async (answer) => {
      const body = Buffer.from(await answer.arrayBuffer());
      const headers = Object.fromEntries(
        [...answer.headers].filter(([name]) => !['connection', 'keep-alive'].includes(name)),
      );
      response.writeHead(answer.status, headers);
      if (!isLayer || answer.status !== 200) {
        response.end(body);
        return;
      }
      const socket = response.socket as Socket;
      response.write(body.subarray(0, CUT_AT_BYTES), () => {
        socket.resetAndDestroy();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const dispose = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, ranges, [Symbol.asyncDispose]: dispose };
}

function forwardable(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => ['accept', 'range', 'if-range'].includes(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

describe.skipIf(!hasContainerd)('containerd', () => {
  let containerd: TestContainerd;

  beforeEach(async () => {
    containerd = await TestContainerd.open();
  });

  afterEach(async () => {
    await containerd[Symbol.asyncDispose]();
  });

  test('pulls an image whole', async () => {
    const { exitCode, output } = await containerd.pull(REFERENCE, [node.url], node.url);
    expect(exitCode, output).toBe(0);
    expect(await containerd.digestOfHeld(image.layerDigest)).toBe(image.layerDigest);
  });

  test('goes on by Range at the same node after a body that ended short', async () => {
    breakLayer('right');
    const { exitCode, output } = await containerd.pull(REFERENCE, [node.url], node.url);
    expect(exitCode, output).toBe(0);
    expect(reads).toEqual([
      { start: 0, end: image.layer.length },
      { start: CUT_AT_BYTES, end: image.layer.length },
    ]);
    expect(await containerd.digestOfHeld(image.layerDigest)).toBe(image.layerDigest);
  });

  test('goes on at the next host, at the byte reached, when the node refuses the rest', async () => {
    await using origin = await openTestFacade();
    serveImage(origin, image);
    const originReads: ByteRange[] = [];
    origin.blobs.read = (bytes, range) => {
      if (bytes.length === image.layer.length) originReads.push(range);
      return origin.blobs.chunks(bytes, range);
    };
    breakLayer('refused');
    const { exitCode, output } = await containerd.pull(REFERENCE, [node.url], origin.url);
    expect(exitCode, output).toBe(0);
    expect(originReads).toEqual([{ start: CUT_AT_BYTES, end: image.layer.length }]);
    expect(await containerd.digestOfHeld(image.layerDigest)).toBe(image.layerDigest);
  });

  test('fails the pull after a reset, and does not ask again: so bodies never end by one', async () => {
    await using proxy = await openResettingProxy();
    const { exitCode, output } = await containerd.pull(REFERENCE, [proxy.url], node.url);
    expect(exitCode).not.toBe(0);
    expect(output).toMatch(/connection reset by peer/);
    expect(proxy.ranges).toEqual([undefined]);
  });
});

/**
 * Whether these resume depends on their release (Debian 12: no); one that does not must say so.
 * @param pull one attempt of the client, from the beginning
 */
async function expectResumedOrRefused(pull: () => Promise<ProgramResult>): Promise<void> {
  breakLayer('right');
  const first = await pull();
  const isResumed = reads.length === 2;
  expect(first.exitCode === 0, first.output).toBe(isResumed);
  if (isResumed) expect(reads[1]?.start).toBe(CUT_AT_BYTES);
  else expect(first.output).toMatch(/unexpected EOF/);
  node.blobs.read = (bytes, range) => node.blobs.chunks(bytes, range);
  const second = await pull();
  expect(second.exitCode, second.output).toBe(0);
}

describe.skipIf(!hasSkopeo)('skopeo', () => {
  test('never takes a short body for a whole one: it goes on by Range, or says so and succeeds when tried again', async () => {
    await withDirectory(async (directory) => {
      const source = `docker://127.0.0.1:${node.port}/ghcr.io/test/image:1`;
      const args = ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${directory}`];
      await expectResumedOrRefused(() => run('skopeo', args));
      expect((await readFile(join(directory, image.layerDigest.slice(7)))).equals(image.layer)).toBe(true);
    });
  });
});

describe.skipIf(!hasPodman)('podman', () => {
  test('never takes a short body for a whole one: it goes on by Range, or says so and succeeds when tried again', async () => {
    await withDirectory(async (directory) => {
      const storage = [
        '--root',
        join(directory, 'root'),
        '--runroot',
        join(directory, 'run'),
        '--storage-driver',
        'vfs',
      ];
      const reference = `127.0.0.1:${node.port}/ghcr.io/test/image:1`;
      await expectResumedOrRefused(() => run('podman', [...storage, 'pull', '--tls-verify=false', reference]));
    });
  });
});

describe.skipIf(!hasDockerd)('dockerd', () => {
  test('goes on by Range after a body that ended short', async () => {
    await using dockerd = await TestDockerd.open();
    breakLayer('right');
    const { exitCode, output } = await dockerd.docker('pull', `127.0.0.1:${node.port}/ghcr.io/test/image:1`);
    expect(exitCode, output).toBe(0);
    expect(reads).toEqual([
      { start: 0, end: image.layer.length },
      { start: CUT_AT_BYTES, end: image.layer.length },
    ]);
  });
});

describe.skipIf(!hasCurl)('curl', () => {
  test('tells a body that ended short from a whole one, and goes on where it stopped', async () => {
    await withDirectory(async (directory) => {
      breakLayer('right');
      const file = join(directory, 'layer');
      const url = `${node.url}/v2/test/image/blobs/${image.layerDigest}?ns=ghcr.io`;
      expect((await run('curl', ['-sS', '-o', file, url])).exitCode).toBe(18);
      expect((await readFile(file)).equals(image.layer.subarray(0, CUT_AT_BYTES))).toBe(true);
      expect((await run('curl', ['-sS', '-C', '-', '-o', file, url])).exitCode).toBe(0);
      expect((await readFile(file)).equals(image.layer)).toBe(true);
    });
  });
});

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'dockyard-short-body-'));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
