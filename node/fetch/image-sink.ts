/** Where the parts of an image go: a folder with an OCI image layout, or the store of a node. */
import type { Digest } from '../../src/oci/digest.ts';
import type { OpenBlob, WantedBlob } from './gather-blob.ts';
import type { ImagePlan, PlannedManifest } from './image-plan.ts';
import type { FetchProgress } from './progress.ts';

/** A place for images. Whoever opens it closes it; what it has stays for a later fetch. */
export interface ImageSink extends AsyncDisposable {
  /** Where that is, for people. */
  readonly place: string;
  /** A manifest that is there, not verified. */
  heldManifest(digest: Digest): Promise<Buffer | undefined>;
  /** Says early when the image could not be kept. @throws {DockyardError} ERR_OUTPUT_EXISTS */
  begin(plan: ImagePlan): Promise<void>;
  /** Whether a blob is there whole and sound. @throws {DockyardError} ERR_OUTPUT_EXISTS when it is there, but not sound */
  holds(blob: WantedBlob, options: { signal?: AbortSignal | undefined }): Promise<boolean>;
  /** Fetches a blob, from where an earlier attempt came to. @returns false when it is not to be had */
  gather(
    blob: WantedBlob,
    openBlob: OpenBlob,
    progress: FetchProgress,
    options: { signal?: AbortSignal | undefined },
  ): Promise<boolean>;
  putManifest(manifest: PlannedManifest): Promise<void>;
  /** All parts are there: makes the image known. */
  finish(plan: ImagePlan): Promise<void>;
}
