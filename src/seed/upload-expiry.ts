/** Gives up uploads that nobody has added to for long: clients that died leave them behind. */
import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import { isAbortError, isDockyardError } from '../oci/error.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';

export interface UploadExpiryDeps {
  readonly catalog: Pick<Catalog, 'sessions'>;
  readonly storage: Pick<BlobStorage, 'uploads'>;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
}

export interface UploadExpiryConfig {
  /** How long an upload is kept after its last bytes. */
  readonly ttlMs: number;
}

/** Looks so often, or as often as the time to live when that is shorter. */
const SWEEP_INTERVAL_MS = 3_600_000;

/** Works in the background from `start` to `close`. */
export class UploadExpiry implements AsyncDisposable {
  readonly #deps: UploadExpiryDeps;
  readonly #config: UploadExpiryConfig;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();

  constructor(deps: UploadExpiryDeps, config: UploadExpiryConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Looks now, and again from time to time. */
  start(): void {
    const look = (): void => {
      this.#sweeping = this.sweep({ signal: this.#stopping.signal }).catch((error: unknown) => {
        if (!isAbortError(error)) this.#deps.log.warn({ err: error }, 'abandoned uploads could not be looked for');
      });
    };
    look();
    this.#timer = setInterval(look, Math.max(1000, Math.min(this.#config.ttlMs, SWEEP_INTERVAL_MS)));
    this.#timer.unref();
  }

  /** Ends what is too old, and forgets uploads that are there no more. @returns how many were given up */
  async sweep(options: { signal?: AbortSignal | undefined } = {}): Promise<number> {
    const { catalog, clock, log, storage } = this.#deps;
    const oldestMs = clock.nowMs() - this.#config.ttlMs;
    let expired = 0;
    for await (const { id, changedAtMs } of storage.uploads.list(options)) {
      if (changedAtMs < oldestMs && (await this.#end(id))) expired += 1;
    }
    for await (const [id, { startedAtMs }] of catalog.sessions.list()) {
      options.signal?.throwIfAborted();
      if (startedAtMs >= oldestMs || (await storage.uploads.open(id, options)) !== undefined) continue;
      await catalog.sessions.delete(id);
    }
    if (expired > 0) log.info({ expired }, 'abandoned uploads were given up');
    return expired;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#sweeping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #end(id: string): Promise<boolean> {
    try {
      const upload = await this.#deps.storage.uploads.open(id);
      await upload?.cancel();
      await this.#deps.catalog.sessions.delete(id);
      return upload !== undefined;
    } catch (error) {
      // Its client came back just now.
      if (isDockyardError(error, 'ERR_UPLOAD_BUSY')) return false;
      throw error;
    }
  }
}
