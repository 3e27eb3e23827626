/**
 * Digests: the names of blobs and manifests. Made only by parsing or hashing, so that the rest of the code may trust them
 * as file names and keys.
 * @see OCI image-spec v1.1 descriptor.md, "Digests"
 */
import { createHash, hash, type Hash } from 'node:crypto';
import { ociError } from './errors.ts';

declare const digestBrand: unique symbol;

/** `sha256:` or `sha512:` and the lower-case hexadecimal digits. */
export type Digest = string & { readonly [digestBrand]: true };

/** The hash functions that a digest may name. */
export const DIGEST_ALGORITHMS = { sha256: 64, sha512: 128 } as const;

export type DigestAlgorithm = keyof typeof DIGEST_ALGORITHMS;

const DIGEST_PATTERN = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

/** True when `text` is a supported digest, to the letter. */
export function isDigest(text: string): text is Digest {
  return DIGEST_PATTERN.test(text);
}

/**
 * Reads a digest from untrusted text.
 * @throws {DockyardError} ERR_DIGEST_INVALID
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text;
  throw ociError('ERR_DIGEST_INVALID', `'${shown}' is not a sha256 or sha512 digest`);
}

/** The algorithm that a digest names. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hexadecimal part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The raw hash that a digest names: 32 or 64 bytes. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digestHex(digest), 'hex');
}

/** The digest of bytes held in memory. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash(algorithm, bytes, 'hex')}` as Digest;
}

/** A running hash whose result is a digest. */
export class DigestHasher {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm) {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Adds bytes, in order. */
  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** The digest of all that was added so far; more may be added afterwards. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.copy().digest('hex')}` as Digest;
  }
}
