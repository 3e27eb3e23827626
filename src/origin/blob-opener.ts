/** Opening blobs at an upstream: finding their length, and the answer that their bytes begin with. */
import type { ByteRange } from '../oci/byte-range.ts';
import { contentLength } from './answer-reading.ts';
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { requestSlice, ResumingBlob, type BlobSlice, type BlobTarget, type OriginBlob } from './resuming-blob.ts';
import type { UpstreamClientDeps } from './upstream-client.ts';

export interface BlobSize {
  readonly sizeBytes: number;
}

interface Options {
  readonly signal?: AbortSignal | undefined;
  readonly patienceMs?: number | undefined;
}

export class BlobOpener {
  readonly #deps: UpstreamClientDeps;

  constructor(deps: UpstreamClientDeps) {
    this.#deps = deps;
  }

  /** @throws {DockyardError} ERR_ORIGIN_BAD_ANSWER when the upstream cannot be made to tell the length */
  async stat(target: BlobTarget, options: Options): Promise<BlobSize | undefined> {
    const { path, scope } = target;
    const common = { kind: 'blob_stat', path, scope, patienceMs: options.patienceMs } as const;
    const head = { ...common, method: 'HEAD', headers: { accept: '*/*' } } as const;
    const told = await target.client.perform(head, readBlobHead, options);
    if (told !== 'unclear') return told;
    const get = { ...common, method: 'GET', headers: { accept: '*/*', range: 'bytes=0-0' } } as const;
    const size = await target.client.perform(get, readBlobProbe, options);
    if (size !== 'unclear') return size;
    throw originError(
      'ERR_ORIGIN_BAD_ANSWER',
      `upstream '${target.client.config.name}' does not tell the length of a blob`,
      {
        details: { upstream: target.client.config.name, digest: target.digest },
      },
    );
  }

  async open(target: BlobTarget, range: ByteRange, options: Options): Promise<OriginBlob | undefined> {
    if (!(range.start >= 0 && range.end > range.start))
      throw new RangeError(`${range.start}-${range.end} is no range of bytes`);
    const controller = new AbortController();
    const signal =
      options.signal === undefined ? controller.signal : AbortSignal.any([options.signal, controller.signal]);
    const releaseSlot = await target.client.blobSlots.acquire({ signal });
    const releaseUse = target.client.hold();
    const release = (): void => {
      releaseSlot();
      releaseUse();
    };
    try {
      const end = Number.isFinite(range.end) ? range.end : undefined;
      const first = await requestSlice(target, range.start, end, { signal, patienceMs: options.patienceMs });
      if (first === undefined) {
        release();
        return undefined;
      }
      return await this.#assemble(target, range, first, {
        controller,
        signal,
        release,
        patienceMs: options.patienceMs,
      });
    } catch (error) {
      controller.abort();
      release();
      throw error;
    }
  }

  async #assemble(
    target: BlobTarget,
    range: ByteRange,
    first: BlobSlice,
    held: { controller: AbortController; signal: AbortSignal; release: () => void; patienceMs: number | undefined },
  ): Promise<OriginBlob | undefined> {
    const sizeBytes = first.sizeBytes ?? (await this.stat(target, held))?.sizeBytes;
    const upstream = target.client.config.name;
    const details = { upstream, digest: target.digest };
    if (sizeBytes === undefined) {
      throw originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' gives a blob that it says it does not have`, {
        details,
      });
    }
    if (range.start > sizeBytes || (range.start === sizeBytes && sizeBytes > 0)) {
      throw originError(
        'ERR_ORIGIN_BAD_ANSWER',
        `upstream '${upstream}' has ${sizeBytes} bytes of a blob, none at ${range.start}`,
        {
          details,
        },
      );
    }
    const end = Math.min(range.end, sizeBytes);
    const { controller, signal, release } = held;
    return new ResumingBlob(
      { ...this.#deps, release },
      { target, first, sizeBytes, start: range.start, end, controller, signal },
    );
  }
}

function isEncoded(answer: HttpAnswer): boolean {
  const encoding = answer.header('content-encoding') ?? '';
  return encoding !== '' && encoding.toLowerCase() !== 'identity';
}

/** The length by HEAD; `unclear` when the answer does not tell it, or tells that of encoded bytes. */
async function readBlobHead(answer: HttpAnswer): Promise<BlobSize | undefined | 'unclear'> {
  await answer.discard();
  if (answer.status === 404) return undefined;
  const sizeBytes = contentLength(answer);
  return answer.status === 200 && sizeBytes !== undefined && !isEncoded(answer) ? { sizeBytes } : 'unclear';
}

/** The length by a GET of the first byte: from Content-Range, or from Content-Length where ranges are ignored. */
async function readBlobProbe(answer: HttpAnswer): Promise<BlobSize | undefined | 'unclear'> {
  await answer.discard();
  if (answer.status === 404) return undefined;
  if (isEncoded(answer)) return 'unclear';
  const range = answer.header('content-range')?.trim() ?? '';
  const total = /^bytes (?:0-0|\*)\/(\d{1,16})$/.exec(range)?.[1];
  if ((answer.status === 206 || answer.status === 416) && total !== undefined) return { sizeBytes: Number(total) };
  const sizeBytes = contentLength(answer);
  return answer.status === 200 && sizeBytes !== undefined ? { sizeBytes } : 'unclear';
}
