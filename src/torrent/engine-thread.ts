/** The engine's thread: started, spoken to, started again when it dies, and ended. */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { EngineReport, EngineRequest, EngineSettings, EngineThreadData } from './engine-protocol.ts';
import { torrentError } from './errors.ts';

export interface EngineThreadDeps {
  readonly log: Logger;
  /** Told everything that the thread says. */
  readonly onReport: (report: EngineReport) => void;
  /** Told when a new thread listens in place of one that died. */
  readonly onRestart: () => void;
}

/** What the thread's own objects may take; buffers are counted elsewhere. */
const MAX_HEAP_MIB = 512;

/** Each block that comes is a few objects that live for a second: with the few MiB of the node they would all be moved twice. */
const YOUNG_HEAP_MIB = 32;

/** What is read ahead for all torrents. Memory that was never read into is none. */
const WINDOW_MEMORY_BYTES = 32 * 1024 * 1024;

/** The first wait before another thread is started; it doubles up to the longest. */
const FIRST_RESTART_MS = 1_000;
const LONGEST_RESTART_MS = 60_000;

/** A thread that lived that long had no lasting fault. */
const HEALTHY_MS = 60_000;

/** Time for trackers to hear that the torrents end. */
const FAREWELL_MS = 2_000;

/** Owned by one `TorrentEngine`. */
export class EngineThread {
  readonly #deps: EngineThreadDeps;
  #settings: EngineSettings;
  #worker: Worker | undefined;
  #windowMemory = new SharedArrayBuffer(0);
  #isClosed = false;
  #startedAtMs = 0;
  #restartDelayMs = FIRST_RESTART_MS;
  #restarting: NodeJS.Timeout | undefined;
  #onClosed: (() => void) | undefined;
  #restarts = 0;
  /** Of threads that ended. */
  #pastBytes = { uploadedBytes: 0, downloadedBytes: 0 };
  #bytes = { uploadedBytes: 0, downloadedBytes: 0 };

  constructor(deps: EngineThreadDeps, settings: EngineSettings) {
    this.#deps = deps;
    this.#settings = settings;
  }

  get port(): number {
    return this.#settings.port;
  }

  get counts(): { uploadedBytes: number; downloadedBytes: number; restarts: number } {
    return {
      uploadedBytes: this.#pastBytes.uploadedBytes + this.#bytes.uploadedBytes,
      downloadedBytes: this.#pastBytes.downloadedBytes + this.#bytes.downloadedBytes,
      restarts: this.#restarts,
    };
  }

  /** Starts the first thread. @throws {DockyardError} ERR_TORRENT_LISTEN */
  async start(): Promise<void> {
    const { host, port } = this.#settings;
    const listening = Promise.withResolvers<number>();
    const worker = this.#startWorker((report) => {
      if (report.kind === 'listening') listening.resolve(report.port);
      if (report.kind === 'fault') listening.reject(Object.assign(new Error(report.message), { code: report.code }));
    });
    const onExit = (): void => listening.reject(new Error('the torrent thread ended while it started'));
    worker.once('exit', onExit);
    try {
      this.#settings = { ...this.#settings, port: await listening.promise };
    } catch (cause) {
      throw torrentError('ERR_TORRENT_LISTEN', `cannot listen on ${host}:${port} for torrents`, { cause });
    } finally {
      worker.off('exit', onExit);
    }
  }

  /** Says something to the thread; while there is none, it is lost, and `onRestart` says it anew. */
  post(request: EngineRequest): void {
    this.#worker?.postMessage(request);
  }

  /** Answers a question; the bytes are no longer the caller's. */
  postAnswer(askId: number, bytes: Uint8Array | undefined): void {
    // Memory of a pool is used again, and other views of a buffer would be lost with it: only what is alone goes over as it is.
    const isAlone =
      bytes !== undefined && bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength;
    if (isAlone) this.#worker?.postMessage({ kind: 'answer', askId, bytes }, [bytes.buffer]);
    else this.post({ kind: 'answer', askId, bytes });
  }

  /** A part of the memory into which windows are read. */
  window(offsetBytes: number, sizeBytes: number): Uint8Array {
    return Buffer.from(this.#windowMemory, offsetBytes, sizeBytes);
  }

  setLimits(uploadBytesPerSecond: number, downloadBytesPerSecond: number): void {
    this.#settings = { ...this.#settings, uploadBytesPerSecond, downloadBytesPerSecond };
    this.post({ kind: 'limits', uploadBytesPerSecond, downloadBytesPerSecond });
  }

  /** Ends the thread. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#restarting);
    const worker = this.#worker;
    if (worker === undefined) return;
    const farewell = Promise.withResolvers<void>();
    this.#onClosed = () => farewell.resolve();
    const timer = setTimeout(() => farewell.resolve(), FAREWELL_MS);
    worker.once('exit', () => farewell.resolve());
    this.post({ kind: 'close' });
    await farewell.promise;
    clearTimeout(timer);
    this.#worker = undefined;
    await worker.terminate();
  }

  #startWorker(listener?: (report: EngineReport) => void): Worker {
    // In a checkout this file is TypeScript, in the published package JavaScript; the worker beside it likewise.
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    // Of its own: what is still being read for a thread that died must not get into the windows of the next one.
    this.#windowMemory = new SharedArrayBuffer(WINDOW_MEMORY_BYTES);
    const workerData: EngineThreadData = { settings: this.#settings, windowMemory: this.#windowMemory };
    const worker = new Worker(new URL(`./engine-worker${extension}`, import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
    });
    this.#worker = worker;
    this.#startedAtMs = performance.now();
    worker.on('message', (report: EngineReport) => {
      listener?.(report);
      this.#onReport(worker, report);
    });
    worker.on('error', (error) => {
      this.#deps.log.error({ err: error }, 'torrent thread failed');
    });
    worker.on('exit', () => this.#onExit(worker));
    return worker;
  }

  #onReport(worker: Worker, report: EngineReport): void {
    if (report.kind === 'progress') {
      this.#bytes = { uploadedBytes: report.uploadedBytes, downloadedBytes: report.downloadedBytes };
    }
    if (report.kind === 'closed') this.#onClosed?.();
    // A client with a fault of its own has ended all its torrents: another takes its place.
    if (report.kind === 'fault' && this.#worker === worker) {
      this.#deps.log.error({ fault: report.message, code: report.code }, 'torrent thread cannot go on');
      void worker.terminate();
    }
    this.#deps.onReport(report);
  }

  #onExit(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#pastBytes = { ...this.counts };
    this.#bytes = { uploadedBytes: 0, downloadedBytes: 0 };
    if (this.#isClosed) return;
    if (performance.now() - this.#startedAtMs > HEALTHY_MS) this.#restartDelayMs = FIRST_RESTART_MS;
    this.#restarting = setTimeout(() => this.#restart(), this.#restartDelayMs);
    this.#restarting.unref();
    this.#restartDelayMs = Math.min(2 * this.#restartDelayMs, LONGEST_RESTART_MS);
  }

  #restart(): void {
    this.#restarts += 1;
    this.#startWorker((report) => {
      if (report.kind !== 'listening') return;
      this.#deps.log.info('torrent thread started again');
      this.#deps.onRestart();
    });
  }
}
