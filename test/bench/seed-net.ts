/** What the benchmarks of a seed share: a seed beside the docker-registry of a net, and ways to push to both alike. */
import { join } from 'node:path';
import { mkdtemp, rm, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Digest } from '../../src/oci/digest.ts';
import { mustRun } from '../support/programs.ts';
import { BenchNet, REPOSITORY, type BenchNode } from './bench-net.ts';
import { MemoryAtHand } from './memory-at-hand.ts';
import { onInterruption } from './interruption.ts';
import { LeanClient } from './lean-jobs.ts';
import { writeRandomFile } from './random-blob.ts';

/** A registry that is measured. */
export interface Side {
  readonly name: 'registry' | 'seed';
  /** `http://HOST:PORT` */
  readonly origin: string;
}

/** A file with random bytes, to be pushed. */
export interface RandomFile {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** A net with a seed in it; `await using` ends all of it and removes all files. */
export class SeedNet implements AsyncDisposable {
  readonly net: BenchNet;
  readonly seed: BenchNode;
  readonly client: LeanClient;
  readonly #folder: string;
  readonly #interruption: Disposable;

  private constructor(parts: { net: BenchNet; seed: BenchNode; folder: string }) {
    this.net = parts.net;
    this.seed = parts.seed;
    this.#folder = parts.folder;
    this.client = new LeanClient();
    this.#interruption = onInterruption(async () => await rm(this.#folder, { recursive: true, force: true }));
  }

  static async open(profileFolder: string | undefined): Promise<SeedNet> {
    const net = await BenchNet.open(profileFolder, { isFast: true });
    try {
      const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-files-'));
      return new SeedNet({ net, seed: await net.startSeed(), folder });
    } catch (error) {
      await net[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Docker-registry and the seed, in the order of measuring: each is first in every second round. */
  sides(round: number): readonly Side[] {
    const registry: Side = { name: 'registry', origin: this.net.registry.url };
    const seed: Side = { name: 'seed', origin: `http://${this.seed.process.facade}` };
    return round % 2 === 0 ? [registry, seed] : [seed, registry];
  }

  /** Makes a file with random bytes. */
  async randomFile(sizeBytes: number): Promise<RandomFile> {
    const name = `file-${(await readdir(this.#folder)).length}`;
    const path = join(this.#folder, name);
    return { path, digest: await writeRandomFile(path, sizeBytes), sizeBytes };
  }

  /** Removes all that was pushed to either, and brings all that is still to be written to the disk. */
  async clear(): Promise<void> {
    await this.net.clearRegistry();
    const answer = await fetch(`http://${this.seed.process.admin}/gc`, { method: 'POST' });
    if (!answer.ok) throw new Error(`the seed does not collect: ${await answer.text()}`);
    await answer.text();
    await settleDisk();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.net[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
    this.#interruption[Symbol.dispose]();
  }
}

/** Waits until nothing that one side left unwritten can slow the other down. */
export async function settleDisk(): Promise<void> {
  await mustRun('sync', []);
}

/** Of what is written, so much memory is at hand, in blocks of the size of a write. */
const MEMORY_SHARE = 1.2;
const BLOCK_BYTES = 256 * 1024;

/** Runs what writes so many bytes with the memory for their page cache at hand, so that it does not wait for the host. */
export async function withMemory<Result>(sizeBytes: number, work: () => Promise<Result>): Promise<Result> {
  await settleDisk();
  await using _memory = await MemoryAtHand.open(sizeBytes * MEMORY_SHARE, BLOCK_BYTES);
  return await work();
}

/** Pushes a file by curl, as one body. Answers the seconds that both requests took. */
export async function pushByCurl(side: Side, file: RandomFile): Promise<number> {
  const startMs = performance.now();
  const begun = await fetch(`${side.origin}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(begun.headers.get('location') ?? '', side.origin);
  location.searchParams.set('digest', file.digest);
  const type = 'Content-Type: application/octet-stream';
  await mustRun('curl', ['-sfS', '-o', '/dev/null', '-T', file.path, '-H', type, location.href]);
  return (performance.now() - startMs) / 1000;
}

/** Where a side serves a blob. */
export function blobUrl(side: Side, digest: Digest): string {
  return `${side.origin}/v2/${REPOSITORY}/blobs/${digest}`;
}
