/** What the manifest service needs from its neighbours. */
import type { Digest } from '../oci/digest.ts';
import type { ManifestReference, Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';

/** A manifest's exact bytes and the type under which it is served. */
export interface FoundManifest {
  readonly digest: Digest;
  /** Without parameters. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** Upstream registries, as far as manifests go; `OriginRegistry` is the real one. Absence is `undefined`. */
export interface ManifestOrigin {
  resolveTag(
    repository: Repository,
    tag: Tag,
    options: ManifestOriginOptions,
  ): Promise<{ digest: Digest; mediaType: string; sizeBytes: number; bytes?: Buffer | undefined } | undefined>;
  /** The digest of what comes was checked against the bytes. */
  fetchManifest(
    repository: Repository,
    reference: ManifestReference,
    options: ManifestOriginOptions,
  ): Promise<FoundManifest | undefined>;
}

export interface ManifestOriginOptions {
  readonly signal?: AbortSignal | undefined;
  /** Give up after this long without a byte, and do not try again. */
  readonly patienceMs?: number | undefined;
}

/** What other nodes know of manifests. Their bytes are checked by whoever asks. */
export interface PeerManifests {
  /** The freshest answer that a peer has for a tag. */
  findTag(
    repository: Repository,
    tag: Tag,
    options: { signal: AbortSignal },
  ): Promise<{ digest: Digest; mediaType: string; sizeBytes: number; checkedAtMs: number } | undefined>;
  findManifest(
    repository: Repository,
    digest: Digest,
    options: { signal: AbortSignal },
  ): Promise<{ mediaType: string; bytes: Buffer } | undefined>;
}

/** What is decided by the operator. */
export interface ManifestConfig {
  /** How long a tag is served without asking its upstream again. */
  readonly tagTtlMs: number;
  /** How long an upstream may be silent when there is an older answer to fall back to. */
  readonly revalidatePatienceMs: number;
  /** How long peers may take in all. */
  readonly peerTimeoutMs: number;
  /** How long peers are asked alone, before the upstream is asked as well. */
  readonly peerHeadStartMs: number;
}

export const MANIFEST_DEFAULTS: ManifestConfig = {
  tagTtlMs: 60_000,
  revalidatePatienceMs: 3_000,
  peerTimeoutMs: 2_000,
  peerHeadStartMs: 100,
};
