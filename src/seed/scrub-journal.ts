/** How far the scrubbing of a seed's storage has come: what outlives a restart, and what operators see. */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';

/** What one pass over all of storage found, so far or in the end. */
export interface ScrubCounts {
  readonly blobs: number;
  readonly readBytes: number;
  readonly damaged: number;
  readonly missing: number;
  readonly repaired: number;
}

/** A blob that a repository needs, that storage does not have, and that nobody could give so far. */
export interface LostBlob {
  readonly digest: Digest;
  /** One of those that need it. */
  readonly repository: RepositoryName;
  readonly foundAtMs: number;
}

/** Where scrubbing stands. */
export interface ScrubState {
  /** Absent between passes. */
  readonly passStartedAtMs?: number | undefined;
  /** The last blob that the pass has read; absent before the first. */
  readonly after?: Digest | undefined;
  /** Of the pass that runs, or of the last one. */
  readonly counts: ScrubCounts;
  /** The end of the last pass, or when this seed was first started. */
  readonly lastEndAtMs: number;
  /** Whether any pass has ended. */
  readonly hasEnded: boolean;
  readonly lost: readonly LostBlob[];
}

/** Keeps the state over restarts. Losing it costs a pass from the beginning, and no more. */
export interface ScrubJournal {
  /** What was saved last; `undefined` when there is nothing that can be read. */
  load(): Promise<ScrubState | undefined>;
  save(state: ScrubState): Promise<void>;
}

/** At the beginning of a pass. */
export const NOTHING_SCRUBBED: ScrubCounts = { blobs: 0, readBytes: 0, damaged: 0, missing: 0, repaired: 0 };
