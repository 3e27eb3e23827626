/**
 * The sizes of blobs as manifests tell them, so that the journey of a blob knows its length without asking anyone. Hints
 * only: a manifest may say what it likes, and the bytes decide.
 */
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import { parseManifest } from '../oci/manifest.ts';
import type { FoundManifest } from './manifest-ports.ts';

/** Sizes kept; 100 bytes of memory each, and an image has ten. */
export const MAX_SIZE_HINTS = 20_000;

/** Manifests remembered as read, so that a popular one is not parsed again for every client. */
const MAX_MANIFESTS_READ = 2_000;

export class BlobSizeHints {
  readonly #maxHints: number;
  readonly #sizes = new Map<Digest, number>();
  readonly #read = new Map<Digest, true>();

  constructor(config: { maxHints: number } = { maxHints: MAX_SIZE_HINTS }) {
    this.#maxHints = config.maxHints;
  }

  /** The size that a manifest told of a blob, or `undefined` when none did lately. */
  sizeHint(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }

  /** Remembers what a manifest tells. What is no manifest that can be read tells nothing. */
  learn(manifest: FoundManifest): void {
    if (this.#read.has(manifest.digest)) return;
    remember(this.#read, manifest.digest, true, MAX_MANIFESTS_READ);
    try {
      const { config, layers } = parseManifest(manifest.bytes, manifest.mediaType);
      const named = config === undefined ? layers : [config, ...layers];
      for (const { digest, sizeBytes } of named) remember(this.#sizes, digest, sizeBytes, this.#maxHints);
    } catch (error) {
      // Manifests of other kinds pass through a node as well; they only give no hints.
      if (!isDockyardError(error)) throw error;
    }
  }
}

/** Sets an entry, makes it the youngest, and drops the oldest beyond the limit. */
function remember<Value>(map: Map<Digest, Value>, digest: Digest, value: Value, limit: number): void {
  map.delete(digest);
  map.set(digest, value);
  if (map.size <= limit) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    break;
  }
}
