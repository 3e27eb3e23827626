/**
 * Gets an image that discovery found: its signature first, then the file, which goes on where an earlier try ended, then the
 * signature again where its server deferred it; and checks all before it says that it is there.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseContentRange } from '../../oci/byte-range.ts';
import type { HttpAnswer } from '../../origin/http-exchange.ts';
import { backoffDelayMs } from '../../origin/retry-delay.ts';
import { ACI_LIMITS, type AciLimits } from '../archive/aci-inspection.ts';
import { appcError } from '../errors.ts';
import { MAX_SIGNATURE_BYTES } from '../signature/detached-signature.ts';
import type { Keyring } from '../signature/keyring.ts';
import type { AppReference } from '../values/app-reference.ts';
import type { ImageId } from '../values/image-id.ts';
import { verifyAci, type VerifiedAci } from '../verify-aci.ts';
import type { AciEndpoint } from './discovery.ts';
import { torrentLinkOf } from './torrent-link.ts';
import { badStatus, finalFailure, isPassingTrouble, readDocument, type WebClient } from './web-client.ts';

/** Where the bytes go. It may outlive the process; then the next one goes on where this one ended. */
export interface AciSink {
  /** What is there already, and what the server called the file that it is the beginning of. */
  held(): Promise<{ readonly sizeBytes: number; readonly etag: string | undefined }>;
  /** Forgets what is there; bytes of the file that the server calls `etag` follow. */
  restart(etag: string | undefined): Promise<void>;
  /** Adds bytes, which may not be kept after the call. */
  append(bytes: Uint8Array): Promise<void>;
  /** All bytes from the first one. */
  read(): AsyncIterable<Uint8Array>;
}

/** What is wanted. */
export interface AciOrder {
  readonly endpoint: AciEndpoint;
  readonly reference: AppReference;
  readonly imageId?: ImageId | undefined;
  /** Who must have signed it; `undefined` where no signature is asked for. */
  readonly keyring: Keyring | undefined;
}

export interface AciDownloadDeps {
  readonly web: WebClient;
  readonly clock: { nowMs(): number };
  /** From 0 to, and not including, 1. */
  readonly random: () => number;
}

export interface AciDownloadConfig {
  readonly limits: AciLimits;
  /** Tries in a row that bring no byte. */
  readonly maxRetries: number;
  /** A deferred signature is asked for again so often after the file is there. */
  readonly maxDeferrals: number;
}

export const ACI_DOWNLOAD_DEFAULTS: AciDownloadConfig = { limits: ACI_LIMITS, maxRetries: 5, maxDeferrals: 5 };

/** What is told while it goes on. */
export interface AciDownloadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told after each chunk. `totalBytes` is undefined while the server has not said. */
  readonly onProgress?: ((heldBytes: number, totalBytes: number | undefined) => void) | undefined;
}

/** An image that was fetched and is right. */
export interface DownloadedAci extends VerifiedAci {
  /** As the server gave it; absent where no signature was asked for. */
  readonly signature: Buffer | undefined;
}

/** Fetches images; keeps nothing between calls. */
export class AciDownload {
  readonly #deps: AciDownloadDeps;
  readonly #config: AciDownloadConfig;

  constructor(deps: AciDownloadDeps, config: AciDownloadConfig = ACI_DOWNLOAD_DEFAULTS) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * Fetches an image into a sink, and checks it there.
   * @throws {DockyardError} as `verifyAci`, ERR_ACI_UNKNOWN, ERR_ACI_DOWNLOAD, and those of ORIGIN_ERRORS
   */
  async fetch(order: AciOrder, sink: AciSink, options: AciDownloadOptions = {}): Promise<DownloadedAci> {
    const { imageId, keyring, reference } = order;
    const { signal } = options;
    // Before the file, so that a wrong key costs nothing.
    let signature = keyring === undefined ? undefined : await this.#signature(order.endpoint, signal);
    await this.#fetchFile(order.endpoint, sink, options);
    for (let again = 0; keyring !== undefined && signature === 'deferred'; again += 1) {
      if (again === this.#config.maxDeferrals)
        throw appcError('ERR_ACI_DOWNLOAD', `${order.endpoint.signature.href} is still deferred by its server`);
      if (again > 0) await this.#pause(again, signal);
      signature = await this.#signature(order.endpoint, signal);
    }
    const found = signature === 'deferred' ? undefined : signature;
    const signed = keyring === undefined || found === undefined ? undefined : { signature: found, keyring };
    const verified = await verifyAci(
      sink.read(),
      { reference, imageId, signed },
      { limits: this.#config.limits, signal, nowMs: this.#deps.clock.nowMs() },
    );
    return { ...verified, signature: found };
  }

  /**
   * Where the server says that the file can be had by BitTorrent; `undefined` when it says nothing.
   * @throws {DockyardError} ERR_ACI_UNKNOWN, ERR_ACI_DOWNLOAD, and those of ORIGIN_ERRORS
   */
  async findTorrent(
    { aci: url, site }: AciEndpoint,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<URL | undefined> {
    const answer = await this.#deps.web.send({ url, site, method: 'HEAD', signal });
    await answer.discard();
    if (answer.status !== 200) throw badStatus(url, answer.status);
    return torrentLinkOf(answer.headerValues('link'), answer.url);
  }

  async #signature({ signature: url, site }: AciEndpoint, signal: AbortSignal | undefined) {
    const answer = await this.#deps.web.send({ url, site, signal });
    if (answer.status === 200) return await readDocument(answer, MAX_SIGNATURE_BYTES);
    await answer.discard();
    if (answer.status === 202) return 'deferred' as const;
    if (answer.status === 404)
      throw appcError('ERR_SIGNATURE_MISSING', `${url.href} answers 404: the image is not signed`);
    throw badStatus(url, answer.status);
  }

  async #fetchFile(endpoint: AciEndpoint, sink: AciSink, options: AciDownloadOptions): Promise<void> {
    const { signal } = options;
    for (let failures = 0; ; failures += 1) {
      const before = (await sink.held()).sizeBytes;
      try {
        await this.#fetchRest(endpoint, sink, options);
        return;
      } catch (error) {
        signal?.throwIfAborted();
        if ((await sink.held()).sizeBytes > before) failures = 0;
        if (!isPassingTrouble(error) || failures >= this.#config.maxRetries) throw finalFailure(error);
        await this.#pause(failures, signal);
      }
    }
  }

  /** One request for what is not there yet. */
  async #fetchRest(
    { aci: url, site }: Omit<AciEndpoint, 'signature'>,
    sink: AciSink,
    options: AciDownloadOptions,
  ): Promise<void> {
    const { onProgress, signal } = options;
    const held = await sink.held();
    const range = held.sizeBytes > 0 && held.etag !== undefined ? rangeHeaders(held.sizeBytes, held.etag) : {};
    const answer = await this.#deps.web.send({ url, site, headers: range, signal });
    const start = await this.#place(answer, held, sink);
    if (start === 'complete') return;
    if (start === 'restarted') return await this.#fetchRest({ aci: url, site }, sink, options);
    let heldBytes = start.startBytes;
    for await (const chunk of answer.chunks()) {
      heldBytes += chunk.length;
      if (heldBytes > this.#config.limits.maxSizeBytes)
        throw appcError('ERR_ACI_TOO_LARGE', `${url.href} has more than ${this.#config.limits.maxSizeBytes} bytes`);
      await sink.append(chunk);
      onProgress?.(heldBytes, start.totalBytes);
    }
    if (start.totalBytes !== undefined && heldBytes !== start.totalBytes)
      throw appcError('ERR_ACI_DOWNLOAD', `${url.href} gave ${heldBytes} of ${start.totalBytes} bytes`);
  }

  /** Where the body belongs; or that there is none, because all of the file is there, or what is there was no part of it. */
  async #place(
    answer: HttpAnswer,
    held: { readonly sizeBytes: number; readonly etag: string | undefined },
    sink: AciSink,
  ): Promise<{ readonly startBytes: number; readonly totalBytes: number | undefined } | 'complete' | 'restarted'> {
    const { status, url } = answer;
    if (status === 200) {
      await sink.restart(strongTag(answer.header('etag')));
      return { startBytes: 0, totalBytes: lengthOf(answer.header('content-length')) };
    }
    const range = status === 206 ? parseContentRange(answer.header('content-range') ?? '') : undefined;
    if (range?.range.start === held.sizeBytes) return { startBytes: held.sizeBytes, totalBytes: range.sizeBytes };
    const rangeHeader = answer.header('content-range');
    await answer.discard();
    if (status === 416 && held.sizeBytes > 0) {
      if (rangeHeader === `bytes */${held.sizeBytes}` && strongTag(answer.header('etag')) === held.etag)
        return 'complete';
      await sink.restart(undefined);
      return 'restarted';
    }
    if (status === 206) throw appcError('ERR_ACI_DOWNLOAD', `${url.href} gave other bytes than were asked for`);
    throw badStatus(url, status);
  }

  async #pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    await delay(backoffDelayMs(attempt, this.#deps.random()), undefined, { signal });
  }
}

function rangeHeaders(startBytes: number, etag: string): Record<string, string> {
  return { range: `bytes=${startBytes}-`, 'if-range': etag };
}

/** A tag by which two files are the same byte for byte. */
function strongTag(etag: string | undefined): string | undefined {
  return etag === undefined || etag.startsWith('W/') ? undefined : etag;
}

function lengthOf(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
