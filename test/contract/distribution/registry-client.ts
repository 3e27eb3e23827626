/** A client for the black-box checks of a registry. It knows the specification alone, and looks at every error that it is given. */
import { digestOf, type Digest, type DigestAlgorithm } from '../../../src/oci/digest.ts';
import { seededBytes } from '../blob-store-fixtures.ts';

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** The code of the first error; `undefined` for answers that are none and for those to HEAD. */
  readonly code: string | undefined;
}

/** What is sent. */
export interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | ReadableStream<Uint8Array>;
}

/** Bytes and their name. */
export interface Blob {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

const ERROR_CODES: ReadonlySet<string> = new Set([
  ...['BLOB_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN'],
  ...['MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID', 'NAME_UNKNOWN', 'SIZE_INVALID', 'UNAUTHORIZED', 'DENIED'],
  ...['UNSUPPORTED', 'TOOMANYREQUESTS'],
  // Of the reference implementation, where the specification has none.
  'RANGE_INVALID',
]);

/** Sends requests to one registry. */
export class RegistryClient {
  readonly #base: string;
  #blobCount = 0;

  /** @param base its address, `http://127.0.0.1:5000` */
  constructor(base: string) {
    this.#base = base;
  }

  /**
   * @param target a path, or what a `Location` said
   * @throws {Error} for an error that is not in the form of the specification
   */
  async send(method: string, target: string, { headers, body }: Sending = {}): Promise<Answer> {
    const answer = await fetch(new URL(target, this.#base), {
      method,
      headers: { ...headers },
      ...(body === undefined ? {} : { body: Buffer.isBuffer(body) ? new Uint8Array(body) : body, duplex: 'half' }),
    });
    const read = Buffer.from(await answer.arrayBuffer());
    const { status } = answer;
    const code = status < 400 || method === 'HEAD' ? undefined : errorCodeOf(read, `${method} ${target}: ${status}`);
    return { status, headers: answer.headers, body: read, code };
  }

  /** A blob that this client has not made before. */
  makeBlob(sizeBytes: number, algorithm: DigestAlgorithm = 'sha256'): Blob {
    this.#blobCount += 1;
    const bytes = seededBytes(sizeBytes, this.#blobCount);
    return { bytes, digest: digestOf(bytes, algorithm) };
  }

  /** Where a new upload is to be sent. */
  async begin(repository: string): Promise<string> {
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/`);
    if (answer.status !== 202) throw new Error(`no upload was begun: ${answer.status}`);
    return locationOf(answer);
  }

  /** Pushes a blob in one request. */
  async push(repository: string, { bytes, digest }: Blob): Promise<void> {
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    if (answer.status !== 201) throw new Error(`the blob was not taken: ${answer.status} ${answer.body.toString()}`);
  }
}

/** Where an answer leads to. @throws {Error} when it does not say */
export function locationOf(answer: Answer): string {
  const location = answer.headers.get('location');
  if (location === null || location === '') throw new Error(`an answer with ${answer.status} leads nowhere`);
  return location;
}

/** The place of an upload, with the digest that is to end it. */
export function ending(location: string, digest: Digest): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
}

function errorCodeOf(body: Buffer, what: string): string {
  let code: unknown;
  try {
    ({ code } = (JSON.parse(body.toString()) as { errors: [{ code: unknown }] }).errors[0]);
  } catch (cause) {
    throw new Error(`${what}: no error of the specification: ${body.toString().slice(0, 200)}`, { cause });
  }
  if (typeof code === 'string' && ERROR_CODES.has(code)) return code;
  throw new Error(`${what}: the specification has no code '${String(code)}'`);
}
