/**
 * One blob from one repository to another, maybe of another registry. It is streamed: nothing is kept here. When the way to the
 * target breaks, it goes on from the byte that the target has; when the way from the source breaks, the client of
 * registries resumes it.
 */
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import type { Clock } from '../origin/clock.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import type { PassedAnswer, PassedRequest } from '../origin/push-pass.ts';
import { backoffDelayMs, parseRetryAfter, RETRY_AFTER_CAP_MS } from '../origin/retry-delay.ts';
import { imageError } from './errors.ts';
import { refusal } from './refusal.ts';

export interface BlobPushDeps {
  readonly origin: Pick<OriginRegistry, 'statBlob' | 'openBlob' | 'pass'>;
  readonly clock: Clock;
  /** A number from 0 to, and not including, 1. */
  readonly random: () => number;
}

/** Which blob, and where to. */
export interface BlobPush {
  readonly from: Repository;
  readonly to: Repository;
  readonly digest: Digest;
  /** Called with what the target has been sent so far; it may go back when the target lost some. */
  readonly onSent: (sentBytes: number, sizeBytes: number) => void;
}

/** How the blob came to be at the target: it was there, was mounted from another repository, or was sent. */
export interface PushedBlob {
  readonly outcome: 'there' | 'mounted' | 'sent';
  readonly sizeBytes: number;
}

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** An upload at the target. */
interface Session {
  readonly at: URL;
  /** Bytes that the target has. */
  readonly offset: number;
}

/** Tries in a row that bring the target no byte. */
const MAX_IDLE_TRIES = 4;

/** What may be otherwise in a moment. */
class Interruption extends Error {
  override readonly name = 'Interruption';
  readonly retryAfterMs: number | undefined;

  constructor(cause: unknown, retryAfterMs?: number) {
    super('the way to the target broke', { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Brings a blob to the target.
 * @throws {DockyardError} ERR_COPY_INCOMPLETE, ERR_REGISTRY_REFUSED; those of ORIGIN_ERRORS
 */
export async function pushBlob(deps: BlobPushDeps, push: BlobPush, options: Options = {}): Promise<PushedBlob> {
  const there = await deps.origin.statBlob(push.to, push.digest, options);
  if (there !== undefined) return { outcome: 'there', sizeBytes: there.sizeBytes };
  return await new Sending(deps, push, options).run();
}

/** Repeats a request to a target while it says that it may answer otherwise in a moment. */
export async function passPatiently(
  deps: BlobPushDeps,
  to: Repository,
  makeRequest: () => PassedRequest,
  options: Options,
): Promise<PassedAnswer> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await passOnce(deps, to, makeRequest(), options);
    } catch (error) {
      if (!(error instanceof Interruption)) throw error;
      if (tries >= MAX_IDLE_TRIES) throw error.cause;
      await deps.clock.sleep(Math.max(error.retryAfterMs ?? 0, backoffDelayMs(tries, deps.random())), options);
    }
  }
}

async function passOnce(
  { origin, clock }: BlobPushDeps,
  to: Repository,
  request: PassedRequest,
  options: Options,
): Promise<PassedAnswer> {
  let answer: PassedAnswer;
  try {
    answer = await origin.pass(to, request, options);
  } catch (error) {
    const isTransient =
      isDockyardError(error, 'ERR_ORIGIN_UNAVAILABLE') || isDockyardError(error, 'ERR_ORIGIN_STALLED');
    throw isTransient ? new Interruption(error) : error;
  }
  const { status, headers } = answer;
  if (status !== 429 && status !== 408 && status < 500) return answer;
  const retryAfterMs = parseRetryAfter(headers['retry-after'], clock.nowMs());
  const failure = refusal(to, request.method === 'GET' ? 'a question' : 'an upload', answer);
  if (status === 501 || (retryAfterMs ?? 0) > RETRY_AFTER_CAP_MS) throw failure;
  throw new Interruption(failure, retryAfterMs);
}

class Sending {
  readonly #deps: BlobPushDeps;
  readonly #push: BlobPush;
  readonly #options: Options;
  #sizeBytes = 0;

  constructor(deps: BlobPushDeps, push: BlobPush, options: Options) {
    this.#deps = deps;
    this.#push = push;
    this.#options = options;
  }

  async run(): Promise<PushedBlob> {
    let session: Session | undefined;
    let reached = 0;
    for (let idleTries = 0; ; idleTries += 1) {
      try {
        if (session === undefined) {
          const begun = await this.#begin();
          if (begun === 'mounted') return { outcome: 'mounted', sizeBytes: await this.#askSize() };
          session = begun;
        }
        await this.#finish(await this.#send(session));
        return { outcome: 'sent', sizeBytes: this.#sizeBytes };
      } catch (error) {
        if (!(error instanceof Interruption)) throw error;
        session = session === undefined ? undefined : await this.#whereItIs(session);
        if ((session?.offset ?? 0) > reached) idleTries = 0;
        reached = Math.max(reached, session?.offset ?? 0);
        if (idleTries >= MAX_IDLE_TRIES) throw error.cause;
        const delayMs = Math.max(error.retryAfterMs ?? 0, backoffDelayMs(idleTries, this.#deps.random()));
        await this.#deps.clock.sleep(delayMs, this.#options);
      }
    }
  }

  /** Begins an upload, or has the registry take the blob from a repository of its own. */
  async #begin(): Promise<Session | 'mounted'> {
    const { from, to, digest } = this.#push;
    const isSameRegistry = from.upstream === to.upstream;
    const query = isSameRegistry ? `?${new URLSearchParams({ mount: digest, from: from.name }).toString()}` : '';
    const answer = await this.#pass({
      method: 'POST',
      rest: `blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
    });
    if (answer.status === 201 && isSameRegistry) return 'mounted';
    if (answer.status !== 202) throw refusal(to, `the upload of ${digest}`, answer);
    return { at: this.#requirePlace(answer), offset: 0 };
  }

  /** Sends what the target lacks. */
  async #send(session: Session): Promise<Session> {
    const { from, to, digest, onSent } = this.#push;
    const { offset } = session;
    const source = await this.#openSource(offset);
    if (source === undefined) return session;
    await using blob = source;
    this.#sizeBytes = blob.sizeBytes;
    // An error of the source is the last word of a client that has tried again by itself.
    let sourceFailure: unknown;
    async function* body(): AsyncGenerator<Uint8Array> {
      let sent = offset;
      onSent(sent, blob.sizeBytes);
      try {
        for await (const chunk of blob.body) {
          yield chunk;
          sent += chunk.length;
          onSent(sent, blob.sizeBytes);
        }
      } catch (error) {
        sourceFailure = error;
        throw error;
      }
    }
    const headers: Record<string, string> = {
      'content-type': 'application/octet-stream',
      'content-length': String(blob.sizeBytes - offset),
      ...(offset === 0 ? {} : { 'content-range': `${offset}-${blob.sizeBytes - 1}` }),
    };
    let answer: PassedAnswer;
    try {
      answer = await this.#pass({ method: 'PATCH', rest: '', at: session.at, headers, body: body() });
    } catch (error) {
      throw sourceFailure ?? error;
    }
    // The upload is not known any more, or has gone on elsewhere: what it has is asked anew.
    if (answer.status === 404 || answer.status === 416)
      throw new Interruption(refusal(to, `the bytes of ${digest}`, answer));
    if (answer.status !== 202 && answer.status !== 201 && answer.status !== 204) {
      throw refusal(to, `the bytes of ${digest} from ${formatRepository(from)}`, answer);
    }
    return { at: answer.continueAt ?? session.at, offset: blob.sizeBytes };
  }

  async #openSource(offset: number): ReturnType<OriginRegistry['openBlob']> {
    const { from, digest } = this.#push;
    const { origin } = this.#deps;
    const missing = (): Error =>
      imageError('ERR_COPY_INCOMPLETE', `${formatRepository(from)} lacks ${digest}, which its image needs`);
    const size =
      this.#sizeBytes > 0 ? this.#sizeBytes : (await origin.statBlob(from, digest, this.#options))?.sizeBytes;
    if (size === undefined) throw missing();
    this.#sizeBytes = size;
    if (offset >= size) return undefined;
    const range = { start: offset, end: Infinity };
    const blob = await origin.openBlob(from, digest, { ...this.#options, range });
    if (blob === undefined) throw missing();
    return blob;
  }

  async #finish({ at }: Session): Promise<void> {
    const { to, digest } = this.#push;
    const target = new URL(at);
    target.searchParams.set('digest', digest);
    let answer: PassedAnswer;
    try {
      answer = await this.#pass({ method: 'PUT', rest: '', at: target, headers: { 'content-length': '0' } });
    } catch (error) {
      // It may have been kept all the same.
      if (error instanceof Interruption && (await this.#isThere())) return;
      throw error;
    }
    if (answer.status === 201 || answer.status === 204) return;
    if (answer.status === 404 && (await this.#isThere())) return;
    throw refusal(to, `to keep ${digest}`, answer);
  }

  /** What the target has of an upload; `undefined` to begin anew. */
  async #whereItIs(session: Session): Promise<Session | undefined> {
    let answer: PassedAnswer;
    try {
      answer = await this.#pass({ method: 'GET', rest: '', at: session.at, headers: {} });
    } catch (error) {
      if (error instanceof Interruption) return session.offset === 0 ? undefined : session;
      throw error;
    }
    // `0-0` is said of one byte and of none.
    const last = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.headers['range'] ?? '')?.[1];
    if (answer.status !== 204 || last === undefined || last === '0') return undefined;
    return { at: answer.continueAt ?? session.at, offset: Number(last) + 1 };
  }

  async #isThere(): Promise<boolean> {
    return (await this.#deps.origin.statBlob(this.#push.to, this.#push.digest, this.#options)) !== undefined;
  }

  async #askSize(): Promise<number> {
    return (await this.#deps.origin.statBlob(this.#push.to, this.#push.digest, this.#options))?.sizeBytes ?? 0;
  }

  async #pass(request: PassedRequest): Promise<PassedAnswer> {
    return await passOnce(this.#deps, this.#push.to, request, this.#options);
  }

  #requirePlace({ continueAt }: PassedAnswer): URL {
    if (continueAt !== undefined) return continueAt;
    const name = formatRepository(this.#push.to);
    throw imageError('ERR_REGISTRY_REFUSED', `${name} does not say where an upload goes on`);
  }
}
