/**
 * The torrents of what a node holds: made when they are asked for, kept, and shared from then on. The engine is started with
 * the first of them, so that a node whose torrents nobody wants listens on no port for them.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { abortable } from '../oci/abortable.ts';
import { asError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import { torrentError } from './errors.ts';
import { torrentName, type LayoutFile } from './image-layout.ts';
import { LayoutStorage, type ReadableBlobs } from './layout-storage.ts';
import { makeTorrentInfo, withPrivacy, type Metainfo, type TorrentInfo } from './metainfo.ts';
import { torrentPieceSize } from './piece-size.ts';
import type { WritableTorrentStorage } from './storage.ts';
import type { DownloadOptions, TorrentEngine, TorrentEngineStats } from './torrent-engine.ts';
import { TorrentMaker } from './torrent-maker.ts';
import { declareTorrentMetrics } from './torrent-metrics.ts';
import { subjectKey, TorrentRecords, type MadeTorrent, type TorrentSubject } from './torrent-records.ts';

/** Complete blobs of a content store. */
export interface LibraryBlobs extends ReadableBlobs {
  stat(digest: Digest): { readonly sizeBytes: number } | undefined;
}

export interface TorrentLibraryDeps {
  readonly blobs: LibraryBlobs;
  /** Starts the engine; asked again after a failure. The library closes it. */
  readonly openEngine: () => Promise<TorrentEngine>;
  /** Resolves when `blobs` knows all that there is; where it is left out, it does from the start. */
  readonly whenFound?: (() => Promise<void>) | undefined;
  /** Tells that memory of a chunk may serve again. */
  readonly recycle: (chunk: Uint8Array) => void;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
}

/** A blob that is to come by a torrent. */
export interface FetchedTorrent {
  readonly metainfo: Metainfo;
  readonly digest: Digest;
  readonly storage: WritableTorrentStorage;
}

export interface TorrentLibraryConfig {
  /** Where records are kept; made when it is needed. */
  readonly folder: string;
  /** Torrents that are shared at once; the one that was asked for least recently goes first. */
  readonly maxTorrents: number;
  /** Announce URLs. */
  readonly trackers: readonly string[];
  readonly isPrivate: boolean;
}

/** Owns the engine. Whoever opens it closes it. */
export class TorrentLibrary implements AsyncDisposable {
  readonly #deps: TorrentLibraryDeps;
  readonly #config: TorrentLibraryConfig;
  readonly #records: TorrentRecords;
  readonly #maker: TorrentMaker;
  readonly #log: Logger;
  /** What is made, the least recently asked for first. */
  readonly #made = new Map<string, MadeTorrent>();
  readonly #making = new Map<string, Promise<MadeTorrent>>();
  readonly #ending = new AbortController();
  #restoring: Promise<void> = Promise.resolve();
  #engine: Promise<TorrentEngine> | undefined;
  #stats: (() => TorrentEngineStats) | undefined;
  #closing: Promise<void> | undefined;

  private constructor(deps: TorrentLibraryDeps, config: TorrentLibraryConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#log = deps.log.child({ component: 'torrent' });
    this.#records = new TorrentRecords(config.folder, this.#log);
    this.#maker = new TorrentMaker(deps, this.#ending.signal);
    declareTorrentMetrics(deps.metrics, () => this.#stats?.());
  }

  /** Opens the library, and shares again what was shared before. */
  static async open(deps: TorrentLibraryDeps, config: TorrentLibraryConfig): Promise<TorrentLibrary> {
    const library = new TorrentLibrary(deps, config);
    const restoring = library.#restore();
    if (deps.whenFound === undefined) await restoring;
    // Nothing keeps a node from starting that may take its time.
    else library.#restoring = restoring.catch((error: unknown) => library.#noteLost(error));
    return library;
  }

  async #restore(): Promise<void> {
    if (this.#deps.whenFound !== undefined) await abortable(this.#deps.whenFound(), this.#ending.signal);
    for (const made of await this.#records.load()) {
      if (this.#closing !== undefined) return;
      await this.#shareAgain(made);
    }
  }

  /**
   * The torrent of a blob, which is shared from now on; `undefined` when the blob is not held.
   * @throws {DockyardError} ERR_METAINFO_EMPTY, ERR_TORRENT_LISTEN, ERR_TORRENT_CLOSED; or the abort
   */
  async ofBlob(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<Metainfo | undefined> {
    const held = this.#deps.blobs.stat(digest);
    if (held === undefined) return undefined;
    const file: LayoutFile = { path: [torrentName(digest)], sizeBytes: held.sizeBytes, bytes: undefined, digest };
    return await this.#share({ kind: 'blob', digest }, [file], options.signal);
  }

  /**
   * The torrent of an image, all of whose blobs are held; it is shared from now on.
   * @throws {DockyardError} as `ofBlob`; ERR_TORRENT_FAILED when a blob is not held
   */
  async ofImage(
    digest: Digest,
    files: readonly LayoutFile[],
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Metainfo> {
    return await this.#share({ kind: 'image', digest }, files, options.signal);
  }

  /**
   * Downloads a blob by its torrent, and shares it from then on, if it is the torrent that this node would have made.
   * @param wanted.storage closed by it
   * @throws {DockyardError} as the engine's `download`; ERR_TORRENT_LISTEN
   */
  async fetch(
    { metainfo, digest, storage }: FetchedTorrent,
    options: Pick<DownloadOptions, 'signal' | 'peers' | 'onProgress'>,
  ): Promise<void> {
    if (this.#closing !== undefined) {
      await storage.close();
      throw torrentError('ERR_TORRENT_CLOSED', 'the torrent library is closed');
    }
    const { info } = metainfo;
    const signal = AbortSignal.any([this.#ending.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const engine = await this.#openEngine().catch(async (error: unknown) => {
      await storage.close();
      throw error;
    });
    await engine.download(metainfo, storage, { ...options, signal });
    // Another torrent of the same blob would divide those who have it into two swarms.
    const isUsual = info.pieceSizeBytes === torrentPieceSize(info.sizeBytes) && isOurForm(info, this.#config);
    if (!isUsual) return;
    const file: LayoutFile = { path: [torrentName(digest)], sizeBytes: info.sizeBytes, bytes: undefined, digest };
    try {
      await this.#share({ kind: 'blob', digest }, [file], options.signal, info);
    } catch (error) {
      // It is held all the same, and can be asked for.
      this.#log.warn({ err: error, digest }, 'a fetched torrent is not shared on');
    }
  }

  /** Limits for all torrents together; 0 is none. */
  async setLimits(uploadBytesPerSecond: number, downloadBytesPerSecond: number): Promise<void> {
    (await this.#engine?.catch(() => undefined))?.setLimits(uploadBytesPerSecond, downloadBytesPerSecond);
  }

  /** Leaves all swarms; their torrents are shared again when the library is opened again. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #share(
    subject: TorrentSubject,
    files: readonly LayoutFile[],
    signal: AbortSignal | undefined,
    given?: TorrentInfo,
  ): Promise<Metainfo> {
    if (this.#closing !== undefined) throw torrentError('ERR_TORRENT_CLOSED', 'the torrent library is closed');
    const key = subjectKey(subject);
    let making = this.#making.get(key);
    if (making === undefined) {
      making = this.#findOrMake(subject, files, given).finally(() => this.#making.delete(key));
      this.#making.set(key, making);
      // Whoever waits hears of it; they may all have left.
      making.catch(() => undefined);
    }
    const made = await abortable(making, signal);
    return this.#metainfoOf(made);
  }

  /** @param given what was hashed already, by whoever made the torrent */
  async #findOrMake(
    subject: TorrentSubject,
    files: readonly LayoutFile[],
    given: TorrentInfo | undefined,
  ): Promise<MadeTorrent> {
    // What was made before is not to be made again.
    await this.#restoring;
    const key = subjectKey(subject);
    const known = this.#made.get(key);
    const made = known ?? (await this.#keep(subject, files, given ?? (await this.#maker.make(subject, files))));
    this.#made.delete(key);
    this.#made.set(key, made);
    if (known !== undefined) await this.#records.touch(subject, this.#deps.clock.nowMs());
    await this.#seed(made);
    await this.#shrink();
    return made;
  }

  async #keep(subject: TorrentSubject, files: readonly LayoutFile[], info: TorrentInfo): Promise<MadeTorrent> {
    const made = { subject, info, files };
    await this.#records.save(made);
    this.#log.info({ ...subject, infoHash: info.infoHash, sizeBytes: info.sizeBytes }, 'torrent made');
    return made;
  }

  async #shareAgain(made: MadeTorrent): Promise<void> {
    const { blobs } = this.#deps;
    if (made.files.some(({ digest }) => digest !== undefined && blobs.stat(digest) === undefined)) {
      await this.#records.remove(made.subject);
      return;
    }
    this.#made.set(subjectKey(made.subject), made);
    try {
      await this.#seed(made);
      await this.#shrink();
    } catch (error) {
      // Another program may have the port. The next one who asks is told so.
      this.#log.error({ err: error, ...made.subject }, 'torrent not shared again');
    }
  }

  async #seed(made: MadeTorrent): Promise<void> {
    const engine = await this.#openEngine();
    const metainfo = this.#metainfoOf(made);
    if (engine.has(metainfo.info.infoHash)) return;
    const onGone = (digest: Digest): void => this.#onGone(made, digest);
    await engine.seed(metainfo, new LayoutStorage({ ...this.#deps, onGone }, made.files));
  }

  async #openEngine(): Promise<TorrentEngine> {
    if (this.#engine === undefined) {
      const opening = this.#deps.openEngine();
      this.#engine = opening;
      opening.then(
        (engine) => (this.#stats = () => engine.stats()),
        () => (this.#engine = undefined),
      );
    }
    return await this.#engine;
  }

  #noteLost(error: unknown): void {
    if (this.#closing === undefined) this.#log.error({ err: error }, 'torrents of before are not shared again');
  }

  #onGone(made: MadeTorrent, digest: Digest): void {
    // A bucket that does not answer may do so later.
    if (this.#deps.blobs.stat(digest) !== undefined) return;
    this.#log.info({ ...made.subject, gone: digest }, 'torrent no longer shared: a blob is gone');
    this.#forget(made).catch((error: unknown) => this.#log.warn({ err: error }, 'torrent could not be left'));
  }

  async #shrink(): Promise<void> {
    for (const made of this.#made.values()) {
      if (this.#made.size <= this.#config.maxTorrents) return;
      await this.#forget(made);
    }
  }

  async #forget(made: MadeTorrent): Promise<void> {
    this.#made.delete(subjectKey(made.subject));
    await this.#records.remove(made.subject);
    const engine = await this.#engine;
    await engine?.remove(this.#metainfoOf(made).info.infoHash);
  }

  /** Without web seeds, which follow from where the torrent was asked for. */
  #metainfoOf({ info, subject }: MadeTorrent): Metainfo {
    const { isPrivate, trackers } = this.#config;
    return {
      info: withPrivacy(info, isPrivate),
      trackerTiers: trackers.map((url) => [url]),
      webSeeds: [],
      comment: subject.digest,
    };
  }

  async #close(): Promise<void> {
    this.#ending.abort(torrentError('ERR_TORRENT_CLOSED', 'the torrent library was closed'));
    await Promise.allSettled([this.#restoring, ...this.#making.values()]);
    const [opened] = await Promise.allSettled([this.#engine]);
    if (opened.status === 'rejected')
      this.#log.debug({ err: asError(opened.reason) }, 'torrent engine had not started');
    else await opened.value?.close();
  }
}

/** True for the info dictionary that would be made here of the same pieces. */
function isOurForm(info: TorrentInfo, { isPrivate }: TorrentLibraryConfig): boolean {
  return makeTorrentInfo({ ...info, isPrivate }).infoHash === info.infoHash;
}
