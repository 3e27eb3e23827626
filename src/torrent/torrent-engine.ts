/**
 * Takes part in BitTorrent swarms: seeds what it is given, and downloads to where it is told. Webtorrent does the work in a
 * thread of its own (engine-worker.ts); this side knows the torrents, answers the thread's questions for bytes, and starts
 * another thread, with the same torrents, when one ends before its time.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import { announcedEntry, type DownloadProgress, type Entry } from './engine-entry.ts';
import type { EngineReport, EngineSettings, TorrentProgress } from './engine-protocol.ts';
import { EngineThread } from './engine-thread.ts';
import { torrentError } from './errors.ts';
import { MagnetLearning } from './magnet-learning.ts';
import type { Magnet } from './magnet.ts';
import { encodeMetainfo, SHA1_BYTES, type Metainfo } from './metainfo.ts';
import { StorageAnswers } from './storage-answers.ts';
import type { TorrentStorage, WritableTorrentStorage } from './storage.ts';
import type { AnnouncedTorrent } from './tracker-session.ts';
import { TrackerAnnouncer } from './tracker-announcer.ts';
import type { TorrentTrackerClient } from './tracker-port.ts';

export interface DownloadOptions {
  /** Ends the download; verified pieces stay in the storage. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Addresses of peers to try beside those that trackers give: `host:port`. */
  readonly peers?: readonly string[] | undefined;
  /** Goes on to seed out of the same storage when all is there, until `remove` or `close`. */
  readonly keepSeeding?: boolean | undefined;
}

export type TorrentEngineConfig = Omit<EngineSettings, 'peerId'>;

export const TORRENT_ENGINE_DEFAULTS: TorrentEngineConfig = {
  host: '0.0.0.0',
  port: 7777,
  maxPeersPerTorrent: 50,
  maxConnections: 500,
  // Clients say every two minutes that they are there. @see BEP 3
  peerPatienceMs: 150_000,
  uploadBytesPerSecond: 0,
  downloadBytesPerSecond: 0,
  pex: false,
  lsd: false,
  dht: false,
  dhtBootstrap: [],
  encryption: 'prefer',
};

export interface TorrentEngineDeps {
  readonly log: Logger;
  /** Speaks to trackers; without it they are left alone. */
  readonly trackers?: TorrentTrackerClient | undefined;
}

/** Who it says that it is: two letters and a version, Azureus style; the rest is chance. @see BEP 20 */
const PEER_ID_PREFIX = '-DY0001-';

/** Numbers for metrics. */
export interface TorrentEngineStats {
  readonly torrents: number;
  readonly peers: number;
  /** Since the engine was opened, with what the protocol itself takes. */
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  /** How often its thread had to be started again. */
  readonly restarts: number;
}

/** Owns the thread. Whoever opens it closes it. */
export class TorrentEngine implements AsyncDisposable {
  readonly #log: Logger;
  readonly #thread: EngineThread;
  readonly #announcer: TrackerAnnouncer | undefined;
  readonly #entries = new Map<number, Entry>();
  readonly #byInfoHash = new Map<string, Entry>();
  readonly #magnets: MagnetLearning;
  readonly #bytes: StorageAnswers;
  #nextId = 1;
  #closing: Promise<void> | undefined;

  private constructor({ log, trackers: client }: TorrentEngineDeps, config: TorrentEngineConfig) {
    this.#log = log.child({ component: 'torrent' });
    const peerId = Buffer.concat([Buffer.from(PEER_ID_PREFIX), randomBytes(20 - PEER_ID_PREFIX.length)]);
    this.#thread = new EngineThread(
      { log: this.#log, onReport: (report) => this.#onReport(report), onRestart: () => this.#addAll() },
      { ...config, peerId },
    );
    const port = (): number => this.#thread.port;
    this.#announcer = client && new TrackerAnnouncer({ client, peerId, port, wait });
    this.#magnets = new MagnetLearning({
      thread: this.#thread,
      announcer: this.#announcer,
      hearing: (id) => this.#hearing(id),
    });
    this.#bytes = new StorageAnswers({
      thread: this.#thread,
      storageOf: (id) => this.#entries.get(id)?.storage,
      onFailed: (error) => {
        if (this.#closing === undefined) this.#log.debug({ err: error }, 'torrent storage failed');
      },
    });
  }

  /** @throws {DockyardError} ERR_TORRENT_LISTEN, its cause what the system said */
  static async open(deps: TorrentEngineDeps, config: TorrentEngineConfig): Promise<TorrentEngine> {
    const engine = new TorrentEngine(deps, config);
    try {
      await engine.#thread.start();
      return engine;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Where torrent clients reach it. */
  get port(): number {
    return this.#thread.port;
  }

  /** True when the torrent is shared or being fetched. */
  has(infoHash: string): boolean {
    return this.#byInfoHash.has(infoHash);
  }

  /**
   * Seeds content that is complete and right. The engine closes the storage when the torrent is removed, or at once when
   * it is there already.
   */
  async seed(metainfo: Metainfo, storage: TorrentStorage): Promise<void> {
    this.#assertOpen();
    if (this.#byInfoHash.has(metainfo.info.infoHash)) {
      await storage.close();
      return;
    }
    this.#enter({ metainfo, storage, peers: [], start: 'complete' });
  }

  /**
   * Downloads into a storage, and resolves when all of it was verified, written and completed. The engine closes the storage.
   * @throws {DockyardError} ERR_TORRENT_FAILED, ERR_TORRENT_CLOSED; what `complete` of the storage throws; or the abort
   */
  async download(metainfo: Metainfo, storage: WritableTorrentStorage, options: DownloadOptions = {}): Promise<void> {
    this.#assertOpen();
    const { signal } = options;
    signal?.throwIfAborted();
    const { infoHash } = metainfo.info;
    if (this.#byInfoHash.has(infoHash)) {
      await storage.close();
      throw torrentError('ERR_TORRENT_FAILED', `the torrent ${infoHash} is shared or being fetched already`);
    }
    const download = Promise.withResolvers<void>();
    const start = storage.isEmpty ? 'empty' : 'unknown';
    const entry = this.#enter({ metainfo, storage, peers: options.peers ?? [], start }, download, options.onProgress);
    const onAbort = (): void => download.reject(asError(signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await download.promise;
      await storage.complete();
      if (options.keepSeeding !== true) await this.#remove(entry);
    } catch (error) {
      await this.#remove(entry);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Asks peers what a magnet link is about. Waits until one answers, or for ever.
   * @throws {DockyardError} of `parseMetainfo`; ERR_TORRENT_CLOSED; or the abort
   */
  async learn(magnet: Magnet, options: Pick<DownloadOptions, 'signal' | 'peers'> = {}): Promise<Metainfo> {
    this.#assertOpen();
    return await this.#magnets.learn(this.#nextId++, magnet, options);
  }

  /** Leaves a swarm. False when the torrent was not there. */
  async remove(infoHash: string): Promise<boolean> {
    const entry = this.#byInfoHash.get(infoHash);
    if (entry === undefined) return false;
    entry.download?.reject(torrentError('ERR_TORRENT_CLOSED', `the torrent ${infoHash} was removed`));
    await this.#remove(entry);
    return true;
  }

  /** Limits for all torrents together; 0 is none. */
  setLimits(uploadBytesPerSecond: number, downloadBytesPerSecond: number): void {
    this.#thread.setLimits(uploadBytesPerSecond, downloadBytesPerSecond);
  }

  stats(): TorrentEngineStats {
    const peers = [...this.#entries.values()].reduce((sum, entry) => sum + (entry.progress?.peers ?? 0), 0);
    return { torrents: this.#entries.size, peers, ...this.#thread.counts };
  }

  /** Leaves all swarms and closes all storages. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #enter(
    parts: Pick<Entry, 'metainfo' | 'storage' | 'peers' | 'start'>,
    download?: PromiseWithResolvers<void>,
    onProgress?: Entry['onProgress'],
  ): Entry {
    const entry: Entry = { ...parts, id: this.#nextId++, progress: undefined, download, onProgress, isClosed: false };
    // Whoever waits hears of it; nobody may be waiting yet.
    download?.promise.catch(() => undefined);
    this.#entries.set(entry.id, entry);
    this.#byInfoHash.set(entry.metainfo.info.infoHash, entry);
    this.#postAdd(entry);
    this.#announcer?.add(announcedEntry(entry, this.#hearing(entry.id)));
    return entry;
  }

  #hearing(id: number): Pick<AnnouncedTorrent, 'onPeers' | 'onWarning'> {
    return {
      onPeers: (peers) => this.#thread.post({ kind: 'peers', id, peers }),
      onWarning: (warning) => this.#log.debug({ torrent: this.#nameOf(id), warning }, 'torrent tracker warning'),
    };
  }

  #postAdd({ id, metainfo, start, peers }: Entry): void {
    const { sizeBytes, pieceSizeBytes, pieceHashes } = metainfo.info;
    const pieceCount = pieceHashes.length / SHA1_BYTES;
    const bytes = encodeMetainfo(metainfo);
    this.#thread.post({ kind: 'add', id, metainfo: bytes, start, sizeBytes, pieceSizeBytes, pieceCount, peers });
  }

  /** A new thread knows nothing. What was gathered meanwhile is found again by its hashes. */
  #addAll(): void {
    for (const entry of this.#entries.values()) {
      if (entry.start === 'empty') entry.start = 'unknown';
      this.#postAdd(entry);
    }
    this.#magnets.learnAgain();
    // Peers that are not to be found anew by themselves.
    this.#announcer?.announceNow();
  }

  async #remove(entry: Entry): Promise<void> {
    if (entry.isClosed) return;
    entry.isClosed = true;
    this.#entries.delete(entry.id);
    this.#byInfoHash.delete(entry.metainfo.info.infoHash);
    this.#thread.post({ kind: 'remove', id: entry.id });
    this.#announcer?.remove(entry.metainfo.info.infoHash);
    await entry.storage.close();
  }

  #onReport(report: EngineReport): void {
    switch (report.kind) {
      case 'read':
        this.#bytes.onRead(report);
        return;
      case 'write':
        this.#bytes.onWrite(report);
        return;
      case 'done': {
        const entry = this.#entries.get(report.id);
        entry?.download?.resolve();
        // Should the thread have to be started again, nothing needs to be verified.
        if (entry !== undefined) this.#onComplete(entry);
        return;
      }
      case 'failed':
        this.#onFailed(report.id, report.message);
        return;
      case 'info':
        this.#magnets.onInfo(report.id, report.metainfo);
        return;
      case 'progress':
        for (const progress of report.torrents) this.#onProgress(progress);
        return;
      case 'warning':
        this.#log.debug({ torrent: this.#nameOf(report.id), warning: report.message }, 'torrent warning');
        return;
      default:
        return;
    }
  }

  #onComplete(entry: Entry): void {
    const wasComplete = entry.start === 'complete';
    entry.start = 'complete';
    if (!wasComplete) this.#announcer?.complete(entry.metainfo.info.infoHash);
  }

  #onProgress(progress: TorrentProgress): void {
    const entry = this.#entries.get(progress.id);
    if (entry === undefined) return;
    entry.progress = progress;
    entry.onProgress?.({ ...progress, sizeBytes: entry.metainfo.info.sizeBytes });
  }

  #onFailed(id: number, message: string): void {
    this.#magnets.onFailed(id, message);
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const error = torrentError('ERR_TORRENT_FAILED', `the torrent '${entry.metainfo.info.name}' failed: ${message}`);
    if (entry.download === undefined) this.#log.warn({ err: error }, 'torrent is no longer shared');
    else entry.download.reject(error);
    this.#remove(entry).catch((cause: unknown) => this.#log.warn({ err: cause }, 'torrent storage not closed'));
  }

  #nameOf(id: number): string | undefined {
    return this.#entries.get(id)?.metainfo.info.name;
  }

  async #close(): Promise<void> {
    const closed = torrentError('ERR_TORRENT_CLOSED', 'the torrent engine was closed');
    this.#magnets.end(closed);
    for (const entry of this.#entries.values()) entry.download?.reject(closed);
    await Promise.all([this.#thread.close(), this.#announcer?.close()]);
    const entries = [...this.#entries.values()].filter((entry) => !entry.isClosed);
    this.#entries.clear();
    this.#byInfoHash.clear();
    for (const entry of entries) entry.isClosed = true;
    await Promise.all(entries.map(async (entry) => await entry.storage.close()));
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw torrentError('ERR_TORRENT_CLOSED', 'the torrent engine is closed');
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  // That it is over is all that is to be known of it.
  await setTimeout(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
