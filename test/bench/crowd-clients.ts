/** Clients of a crowd: each pulls on the host of its node, checks what it got, and notes when bytes arrived. */
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, createReadStream, openSync, unlinkSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../../src/oci/digest.ts';
import { mustRun } from '../support/programs.ts';
import { Arrivals } from './arrivals.ts';
import { REPOSITORY, UPSTREAM, type CrowdLab } from './crowd-lab.ts';
import { CrowdNode } from './crowd-node.ts';
import type { KnownBlob } from './random-blob.ts';

/** How often the folder of an image that is being pulled is looked at. */
const LOOK_MS = 100;
/** What a pipe holds. */
const PIPE_BYTES = 64 * 1024;
/** Points of a curve. */
const POINTS = 200;

/** A pull that has begun. */
export interface ClientPull {
  readonly node: CrowdNode;
  readonly arrivals: Arrivals;
  readonly startedAtMs: number;
  /** When all was there; rejects when the client ended without, or the bytes are wrong. */
  readonly done: Promise<{ readonly endedAtMs: number }>;
  /** Checks what only can be checked after the measurement. @throws {Error} when bytes are wrong */
  verify(): Promise<void>;
}

/** What is common to the clients of one run. */
export interface ClientRun {
  readonly lab: CrowdLab;
  readonly startMs: number;
  /** About how long the run will take, for the distance of points. */
  readonly expectedMs: number;
}

/**
 * Makes a client that pulls a blob by curl from the node on its own host, or past it from the origin. It waits there until what
 * is answered here is called, with the time at which the run began: to start a process takes time that is not the node's.
 */
export async function blobClient(
  run: Omit<ClientRun, 'startMs'>,
  node: CrowdNode,
  { digest, bytes }: KnownBlob,
  from: 'node' | 'origin',
): Promise<(startMs: number) => ClientPull> {
  const path = `/v2/${REPOSITORY}/blobs/${digest}`;
  const url = from === 'origin' ? `${run.lab.originUrl}${path}` : `http://${CrowdNode.facade}${path}?ns=${UPSTREAM}`;
  const ready = Promise.withResolvers<undefined>();
  let arrivals: Arrivals | undefined;
  let areRight = true;
  const pipe = await openPipe(join(run.lab.folder, `${node.host.name}-${randomUUID()}`), (chunk) => {
    if (arrivals === undefined) return ready.resolve(undefined);
    areRight &&= chunk.equals(bytes.subarray(arrivals.sizeBytes, arrivals.sizeBytes + chunk.length));
    arrivals.note(arrivals.sizeBytes + chunk.length, performance.now());
  });
  const args = ['-c', 'echo && read -r _ && exec curl -sSf -N "$0"', url];
  const child = run.lab.net.start(node.host, 'sh', args, { stdio: ['pipe', pipe.writeFd, 'inherit'] });
  closeSync(pipe.writeFd);
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  await ready.promise;

  const finish = async (received: Arrivals): Promise<{ endedAtMs: number }> => {
    await pipe.ended;
    const code = await exited;
    const endedAtMs = performance.now();
    if (code !== 0) throw new Error(`curl ended with ${code} on ${node.host.name}: ${await node.logEnd()}`);
    if (!areRight || received.sizeBytes !== bytes.length) throw new Error(`wrong bytes on ${node.host.name}`);
    return { endedAtMs };
  };
  return (startMs) => {
    const startedAtMs = performance.now();
    arrivals = new Arrivals(startMs, startedAtMs, run.expectedMs / POINTS);
    child.stdin?.end('\n');
    const done = finish(arrivals);
    // Whoever waits for it is told; that of a client whose node was killed is waited for by nobody.
    done.catch(() => undefined);
    return { node, arrivals, startedAtMs, done, verify: async () => await Promise.resolve() };
  };
}

/**
 * A pipe that is read into the same memory again and again: eight clients share the processors with what is measured, and the
 * pipes of child processes would make a buffer for every reading.
 * @param writeFd is the caller's to close, when a child has it
 */
async function openPipe(
  path: string,
  onChunk: (chunk: Buffer) => void,
): Promise<{ readonly writeFd: number; readonly ended: Promise<void> }> {
  await mustRun('mkfifo', [path]);
  // For both, since opening for one waits for the other.
  const writeFd = openSync(path, constants.O_RDWR);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  unlinkSync(path);
  const buffer = Buffer.allocUnsafeSlow(PIPE_BYTES);
  const callback = (sizeBytes: number): boolean => {
    onChunk(buffer.subarray(0, sizeBytes));
    return true;
  };
  const socket = new Socket({ fd, readable: true, writable: false, onread: { buffer, callback } });
  return { writeFd, ended: once(socket, 'close').then(() => undefined) };
}

/**
 * Makes a client that pulls an image by skopeo into a folder.
 * @param digests of all its blobs, each of which is a file of the folder afterwards
 */
export function imageClient(
  run: Omit<ClientRun, 'startMs'>,
  node: CrowdNode,
  tag: string,
  digests: readonly Digest[],
): (startMs: number) => ClientPull {
  const folder = join(run.lab.folder, `${node.host.name}-image`);
  const verify = async (): Promise<void> => {
    for (const digest of digests) await verifyFile(join(folder, digest.slice('sha256:'.length)), digest);
  };
  return (startMs) => {
    const startedAtMs = performance.now();
    const arrivals = new Arrivals(startMs, startedAtMs, run.expectedMs / POINTS);
    const done = copyBySkopeo(run, node, { tag, folder, arrivals });
    done.catch(() => undefined);
    return { node, arrivals, startedAtMs, done, verify };
  };
}

async function copyBySkopeo(
  run: Pick<ClientRun, 'lab'>,
  node: CrowdNode,
  { tag, folder, arrivals }: { tag: string; folder: string; arrivals: Arrivals },
): Promise<{ endedAtMs: number }> {
  await mkdir(folder);
  const source = `docker://${CrowdNode.facade}/${UPSTREAM}/${REPOSITORY}:${tag}`;
  const args = ['copy', '--quiet', '--insecure-policy', '--src-tls-verify=false', source, `dir:${folder}`];
  const child = run.lab.net.start(node.host, 'skopeo', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let hasEnded = false;
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      hasEnded = true;
      resolve(code);
    });
  });
  const watching = setInterval(() => {
    void sizeOfFiles(folder).then((sizeBytes) => {
      if (!hasEnded) arrivals.note(Math.max(sizeBytes, arrivals.sizeBytes), performance.now());
    });
  }, LOOK_MS);
  const code = await exited;
  clearInterval(watching);
  const endedAtMs = performance.now();
  if (code !== 0) throw new Error(`skopeo ended with ${code} on ${node.host.name}: ${await node.logEnd()}`);
  arrivals.note(await sizeOfFiles(folder), endedAtMs);
  return { endedAtMs };
}

/** Files come and go while they are looked at. */
async function sizeOfFiles(folder: string): Promise<number> {
  const names = await readdir(folder);
  const sizes = names.map(
    async (name) =>
      await stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function verifyFile(path: string, digest: Digest): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`${path} has wrong bytes`);
}
