/**
 * Several nodes in one process, from real parts: stores on disk, TLS links over loopback, and an origin that counts and can
 * be told to fail. Only membership is a table, so that a test decides who knows whom.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { BufferPool } from '../../src/content/buffer-pool.ts';
import type { Disk } from '../../src/content/disk.ts';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import type { ByteRange } from '../../src/oci/byte-range.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { Repository } from '../../src/oci/repository.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import { generateIdentity, verifyPeerSignature } from '../../src/swarm/identity.ts';
import type { Member, MemberDirectory, PeerId } from '../../src/swarm/member.ts';
import { createTransfer, openDataPlane, type DataPlane, type Transfer } from '../../src/transfer/open-transfer.ts';
import type { OriginBlobs } from '../../src/transfer/origin-feed.ts';
import type { TransferConfig } from '../../src/transfer/transfer-config.ts';

export const REPOSITORY: Repository = { upstream: 'test.example', name: parseRepositoryName('team/app') };

export const TEST_TRANSFER_CONFIG: TransferConfig = {
  stallTimeoutMs: 2000,
  askTimeoutMs: 1000,
  inlineMaxBytes: 256 * 1024,
  maxHolders: 16,
  maxOriginReaders: 8,
  maxWindowBytes: 16 * 1024 * 1024,
  recentPiecesBytes: 32 * 1024 * 1024,
  uploadSlots: 64,
  uploadQueuePieces: 512,
  uploadRateBytesPerSecond: 0,
  downloadRateBytesPerSecond: 0,
  banMs: 60_000,
  lingerMs: 2000,
};

/** An origin in memory. */
export class TestOrigin implements OriginBlobs {
  readonly blobs = new Map<Digest, Buffer>();
  sentBytes = 0;
  openCount = 0;
  /** Thrown by every call while it is set. */
  failure: Error | undefined;
  /** Bytes after which a reading breaks off. */
  breakAfterBytes = Infinity;
  /** Called before every chunk; lets a test hold the origin back. */
  beforeChunk: (offset: number) => Promise<void> = async () => await Promise.resolve();

  add(bytes: Buffer): Digest {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  async openBlob(
    _repository: Repository,
    digest: Digest,
    options: { range?: ByteRange | undefined; signal?: AbortSignal | undefined },
  ) {
    this.openCount += 1;
    if (this.failure !== undefined) throw this.failure;
    const blob = this.blobs.get(digest);
    if (blob === undefined) return undefined;
    const { start, end } = options.range ?? { start: 0, end: blob.length };
    return await Promise.resolve({
      sizeBytes: blob.length,
      body: this.#body(blob, start, end, options.signal),
      close: () => undefined,
    });
  }

  async statBlob(_repository: Repository, digest: Digest) {
    if (this.failure !== undefined) throw this.failure;
    const blob = this.blobs.get(digest);
    return await Promise.resolve(blob === undefined ? undefined : { sizeBytes: blob.length });
  }

  async *#body(blob: Buffer, start: number, end: number, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
    let sent = 0;
    for (let at = start; at < end; at += 100_000) {
      await this.beforeChunk(at);
      signal?.throwIfAborted();
      if (sent >= this.breakAfterBytes) throw new Error('the origin broke off');
      const chunk = blob.subarray(at, Math.min(at + 100_000, end));
      sent += chunk.length;
      this.sentBytes += chunk.length;
      yield chunk;
    }
  }
}

/** One node of a testnet. */
export interface TestNode extends AsyncDisposable {
  readonly peerId: PeerId;
  readonly member: Member;
  readonly content: OpenedContent;
  readonly dataPlane: DataPlane;
  readonly transfer: Transfer;
  readonly metrics: Registry;
  /** Sizes that this node knows beforehand. */
  readonly sizes: Map<string, number>;
  /** Reads a whole blob as a client would. */
  pull(digest: Digest, signal?: AbortSignal): Promise<Buffer | undefined>;
  /** A counter's value. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
  close(): Promise<void>;
}

export interface TestnetOptions {
  readonly config?: Partial<TransferConfig>;
  readonly memberKey?: Buffer;
  /** Folders to use again instead of new ones. */
  readonly directory?: string;
  readonly maxSizeBytes?: number;
  /** A file system that may fail. */
  readonly disk?: Disk;
}

/** A table of members that all nodes share. */
export class Testnet implements AsyncDisposable {
  readonly origin = new TestOrigin();
  readonly nodes: TestNode[] = [];
  readonly unreachable: PeerId[] = [];
  readonly #members = new Map<PeerId, Member>();
  readonly #folders: string[] = [];
  readonly #closers: (() => Promise<void>)[] = [];
  /** What nodes logged at level info and above. */
  readonly logged: { msg: string; level: number; [field: string]: unknown }[] = [];
  readonly #log = pino(
    { level: 'info' },
    {
      write: (line: string) => {
        this.logged.push(JSON.parse(line) as { msg: string; level: number });
        if (process.env['TEST_LOG'] !== undefined) process.stderr.write(line);
      },
    },
  );

  /** Adds nodes. */
  async add(count: number, options: TestnetOptions = {}): Promise<TestNode[]> {
    const added: TestNode[] = [];
    for (let index = 0; index < count; index += 1) added.push(await this.#addOne(options));
    for (const node of this.nodes) node.transfer.onMembersChanged();
    return added;
  }

  /** Adds one node. */
  async addNode(options: TestnetOptions = {}): Promise<TestNode> {
    const node = await this.#addOne(options);
    for (const other of this.nodes) other.transfer.onMembersChanged();
    return node;
  }

  /** Whom all nodes think alive. */
  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  /** One who is no node of this net takes part as a member. */
  enrol(member: Member): void {
    this.#members.set(member.peerId, member);
    for (const node of this.nodes) node.transfer.onMembersChanged();
  }

  /** Closed with the net. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Random bytes whose home is the member named. */
  blobAtHome(peerId: PeerId, sizeBytes: number): Buffer {
    for (;;) {
      const blob = randomBytes(sizeBytes);
      if (rankHomes(digestOf(blob), this.members, 1)[0]?.peerId === peerId) return blob;
    }
  }

  /** A node is thought alive no longer. */
  forget(peerId: PeerId): void {
    this.#members.delete(peerId);
    for (const node of this.nodes) node.transfer.onMembersChanged();
  }

  /** Puts bytes into the store of a node, as if it had fetched them before. */
  async give(node: TestNode, bytes: Buffer): Promise<Digest> {
    const digest = digestOf(bytes);
    await node.content.blobs.put(digest, bytes);
    return digest;
  }

  async close(): Promise<void> {
    for (const node of this.nodes.splice(0)) await node.close();
    for (const close of this.#closers.splice(0)) await close();
    for (const folder of this.#folders.splice(0)) await rm(folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #addOne(options: TestnetOptions): Promise<TestNode> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'dockyard-net-')));
    if (options.directory === undefined) this.#folders.push(directory);
    const identity = generateIdentity();
    const metrics = new Registry();
    const clock = { nowMs: () => performance.timeOrigin + performance.now() };
    const log = this.#log.child({ node: this.nodes.length });
    const config = { ...TEST_TRANSFER_CONFIG, ...options.config };
    const memory = new BufferPool(32 * 1024 * 1024);
    const content = await openContent(
      { clock, log, metrics, memory, disk: options.disk },
      {
        directory,
        maxSizeBytes: options.maxSizeBytes ?? 100 * 1024 ** 3,
        minFreeDiskBytes: 0,
        maxManifestBytes: 64 * 1024 ** 2,
        maxTags: 10_000,
      },
    );
    const links = {
      listen: { host: '127.0.0.1', port: 0 },
      maxLinks: 256,
      maxPendingHandshakes: 64,
      connectTimeoutMs: 2000,
      idleTimeoutMs: 60_000,
      silenceTimeoutMs: 15_000,
    };
    const dataPlane = await openDataPlane(
      {
        identity,
        verify: verifyPeerSignature,
        memberKey: options.memberKey,
        store: content.blobs,
        memory,
        clock,
        log,
        metrics,
      },
      { ...config, links },
    );
    const member: Member = {
      peerId: identity.peerId,
      dataAddresses: [{ host: '127.0.0.1', port: dataPlane.links.port }],
      topology: '',
    };
    this.#members.set(member.peerId, member);
    const sizes = new Map<string, number>();
    const transfer = createTransfer(
      {
        dataPlane,
        store: content.blobs,
        manifests: content.manifests,
        origin: this.origin,
        sizes: { sizeHint: (digest) => sizes.get(digest) },
        members: this.#directory(member),
        discoveries: [],
        random: Math.random,
        clock,
        log,
        metrics,
      },
      config,
    );
    let isClosed = false;
    const close = async (): Promise<void> => {
      if (isClosed) return;
      isClosed = true;
      this.#members.delete(member.peerId);
      await transfer.close();
      await dataPlane.close();
      await content.close();
    };
    const node: TestNode = {
      peerId: identity.peerId,
      member,
      content,
      dataPlane,
      transfer,
      metrics,
      sizes,
      pull: async (digest, signal = new AbortController().signal) => {
        await using reading = await transfer.blobs.open(digest, { repository: REPOSITORY, signal });
        if (reading === undefined) return undefined;
        const chunks: Uint8Array[] = [];
        for await (const chunk of reading.read({ start: 0, end: reading.sizeBytes })) chunks.push(chunk);
        return Buffer.concat(chunks);
      },
      metric: async (name, labels = {}) => {
        const values = (await metrics.getSingleMetric(name)?.get())?.values ?? [];
        const wanted = Object.entries(labels);
        const matching = values.filter((value) => wanted.every(([key, label]) => value.labels[key] === label));
        return matching.reduce((sum, value) => sum + value.value, 0);
      },
      close,
      [Symbol.asyncDispose]: close,
    };
    this.nodes.push(node);
    return node;
  }

  #directory(self: Member): MemberDirectory {
    return {
      self,
      alive: () => [...this.#members.values()],
      get: (peerId) => this.#members.get(peerId),
      reportUnreachable: (peerId) => void this.unreachable.push(peerId),
    };
  }
}

/** Random bytes that differ in every test. */
export function randomBlob(sizeBytes: number): Buffer {
  return randomBytes(sizeBytes);
}
