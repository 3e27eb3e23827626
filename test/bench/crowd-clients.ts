/** Clients of a crowd: each pulls on the host of its node, checks what it got by digest, and notes when bytes arrived. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../../src/oci/digest.ts';
import { Arrivals } from './arrivals.ts';
import { REPOSITORY, UPSTREAM, type CrowdLab } from './crowd-lab.ts';
import { CrowdNode } from './crowd-node.ts';

/** How often the folder of an image that is being pulled is looked at. */
const LOOK_MS = 100;
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

/** Pulls a blob by curl from the node on its own host, or past it from the origin. */
export function pullBlob(run: ClientRun, node: CrowdNode, digest: Digest, from: 'node' | 'origin'): ClientPull {
  const path = `/v2/${REPOSITORY}/blobs/${digest}`;
  const url = from === 'origin' ? `${run.lab.originUrl}${path}` : `http://${CrowdNode.facade}${path}?ns=${UPSTREAM}`;
  const startedAtMs = performance.now();
  const arrivals = new Arrivals(run.startMs, startedAtMs, run.expectedMs / POINTS);
  const done = readByCurl(run, node, { url, digest, arrivals });
  // Whoever waits for it is told; that of a client whose node was killed is waited for by nobody.
  done.catch(() => undefined);
  return { node, arrivals, startedAtMs, done, verify: async () => await Promise.resolve() };
}

async function readByCurl(
  run: ClientRun,
  node: CrowdNode,
  { url, digest, arrivals }: { url: string; digest: Digest; arrivals: Arrivals },
): Promise<{ endedAtMs: number }> {
  const child = run.lab.net.start(node.host, 'curl', ['-sSf', '-N', url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const hash = createHash('sha256');
  for await (const chunk of (child.stdout ?? []) as AsyncIterable<Buffer>) {
    arrivals.note(arrivals.sizeBytes + chunk.length, performance.now());
    hash.update(chunk);
  }
  const code = await exited;
  const endedAtMs = performance.now();
  if (code !== 0) throw new Error(`curl ended with ${code} on ${node.host.name}: ${await node.logEnd()}`);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`wrong bytes on ${node.host.name}`);
  return { endedAtMs };
}

/**
 * Pulls an image by skopeo into a folder.
 * @param digests of all its blobs, each of which is a file of the folder afterwards
 */
export function pullImage(run: ClientRun, node: CrowdNode, tag: string, digests: readonly Digest[]): ClientPull {
  const folder = join(run.lab.folder, `${node.host.name}-image`);
  const startedAtMs = performance.now();
  const arrivals = new Arrivals(run.startMs, startedAtMs, run.expectedMs / POINTS);
  const done = copyBySkopeo(run, node, { tag, folder, arrivals });
  done.catch(() => undefined);
  const verify = async (): Promise<void> => {
    for (const digest of digests) await verifyFile(join(folder, digest.slice('sha256:'.length)), digest);
  };
  return { node, arrivals, startedAtMs, done, verify };
}

async function copyBySkopeo(
  run: ClientRun,
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
