/**
 * What the store knows of its complete blobs, in memory: facts by digest, the order of use, and who reads what.
 * Decisions about eviction are made here, without waiting for anything, so that two of them never choose the same blob.
 */
import type { Digest } from '../oci/digest.ts';
import type { BlobStat } from './blob-store.ts';
import type { VerifiedMark } from './verified-stream.ts';

/** Facts of a blob that may change, and how many have it open. */
export interface CatalogEntry {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly addedAtMs: number;
  lastUsedAtMs: number;
  pinned: boolean;
  /** How many readers have it open. */
  leases: number;
  /** Set once it was found damaged: its readers are told so. */
  damaged: boolean;
  /** This process has hashed the whole and found it right. */
  proven: boolean;
  /** When the file was last found right by one who read it whole. */
  verified: VerifiedMark | undefined;
}

/** Complete blobs in the order of use. */
export class BlobCatalog {
  readonly #entries = new Map<Digest, CatalogEntry>();
  /** Those that are not pinned, least recently used first: a Map keeps the order in which keys were set. */
  readonly #evictable = new Map<Digest, CatalogEntry>();
  readonly #listeners: ((digest: Digest) => void)[] = [];
  #totalBytes = 0;
  #pinnedBytes = 0;

  get count(): number {
    return this.#entries.size;
  }

  /** Bytes of all blobs. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Bytes of the pinned ones. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  get(digest: Digest): CatalogEntry | undefined {
    return this.#entries.get(digest);
  }

  /** Tells of each blob that is taken out. */
  onGone(listener: (digest: Digest) => void): void {
    this.#listeners.push(listener);
  }

  /** Adds a blob as the one used last. At opening, add in the order of use. */
  add(facts: BlobStat): CatalogEntry {
    this.delete(facts.digest);
    const entry = { ...facts, leases: 0, damaged: false, proven: false, verified: undefined };
    this.#entries.set(entry.digest, entry);
    if (!entry.pinned) this.#evictable.set(entry.digest, entry);
    this.#totalBytes += entry.sizeBytes;
    if (entry.pinned) this.#pinnedBytes += entry.sizeBytes;
    return entry;
  }

  /** Notes that a blob was used. */
  touch(entry: CatalogEntry, nowMs: number): void {
    entry.lastUsedAtMs = nowMs;
    if (this.#evictable.delete(entry.digest)) this.#evictable.set(entry.digest, entry);
  }

  /** Pins or unpins a blob. In the order of use, an unpinned one counts as used just now. */
  setPinned(entry: CatalogEntry, pinned: boolean): void {
    if (entry.pinned === pinned) return;
    entry.pinned = pinned;
    this.#pinnedBytes += pinned ? entry.sizeBytes : -entry.sizeBytes;
    if (pinned) this.#evictable.delete(entry.digest);
    else this.#evictable.set(entry.digest, entry);
  }

  /** Takes a blob out; false when it was not in. */
  delete(digest: Digest): boolean {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return false;
    this.#entries.delete(digest);
    for (const listener of this.#listeners) listener(digest);
    this.#evictable.delete(digest);
    this.#totalBytes -= entry.sizeBytes;
    if (entry.pinned) this.#pinnedBytes -= entry.sizeBytes;
    return true;
  }

  /** Takes out the blob that was used least recently and that nobody reads or has pinned, or answers `undefined`. */
  takeVictim(): CatalogEntry | undefined {
    for (const entry of this.#evictable.values()) {
      if (entry.leases > 0) continue;
      this.delete(entry.digest);
      return entry;
    }
    return undefined;
  }

  /** What is pinned now, in no order. */
  pinnedDigests(): Digest[] {
    return Array.from(this.#entries.values(), (entry) => (entry.pinned ? entry.digest : undefined)).filter(
      (digest) => digest !== undefined,
    );
  }

  /** Facts of all blobs, as they are now. */
  list(): BlobStat[] {
    return Array.from(this.#entries.values(), statOf);
  }
}

/** The public facts of an entry, as they are now. */
export function statOf(entry: CatalogEntry): BlobStat {
  const { digest, sizeBytes, addedAtMs, lastUsedAtMs, pinned } = entry;
  return { digest, sizeBytes, addedAtMs, lastUsedAtMs, pinned };
}
