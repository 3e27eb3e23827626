/**
 * A folder with an OCI image layout. Blobs appear in it whole and verified, and the index that names the image comes last, so
 * that a reader never meets an image with a hole. What is not finished lies in a folder of its own inside.
 */
import { lstat, readFile, readdir, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAbsentError } from '../../src/content/errors.ts';
import { makeFolder } from '../../src/content/make-folder.ts';
import { nodeDisk, writeNewFile } from '../../src/content/disk.ts';
import { digestAlgorithm, type Digest } from '../../src/oci/digest.ts';
import {
  LAYOUT_FILE,
  LAYOUT_FILE_BYTES,
  LAYOUT_INDEX_FILE,
  layoutBlobPath,
  layoutIndexBytes,
  parseLayoutIndex,
} from '../../src/oci/image-layout.ts';
import { MAX_MANIFEST_SIZE_BYTES } from '../../src/oci/manifest.ts';
import { fetchError } from './errors.ts';
import { gatherBlob, type OpenBlob, type WantedBlob } from './gather-blob.ts';
import { hashFile } from './hash-file.ts';
import type { ImagePlan, PlannedManifest } from './image-plan.ts';
import type { ImageSink } from './image-sink.ts';
import { outputFailure } from './output-failure.ts';
import type { FetchProgress } from './progress.ts';
import { removeIfEmpty, WorkFolder } from './work-folder.ts';

/** Unfinished parts, inside the layout. */
const WORK_FOLDER = '.dockyard-fetch';

/** @see ImageSink */
export class LayoutFolder implements ImageSink {
  readonly place: string;
  readonly #force: boolean;
  readonly #work: WorkFolder;

  readonly #isNew: boolean;

  private constructor(place: string, work: WorkFolder, state: { force: boolean; isNew: boolean }) {
    this.place = place;
    this.#work = work;
    this.#force = state.force;
    this.#isNew = state.isNew;
  }

  /**
   * Opens a folder that is absent, empty, a layout, or one that an earlier fetch left; any folder with `force`.
   * @throws {DockyardError} ERR_OUTPUT_EXISTS, ERR_OUTPUT_IO, ERR_FETCH_BUSY
   */
  static async open(place: string, { force }: { force: boolean }): Promise<LayoutFolder> {
    try {
      const isNew = !(await isThere(place));
      await requireUsable(place, force);
      return new LayoutFolder(place, await WorkFolder.open(join(place, WORK_FOLDER)), { force, isNew });
    } catch (error) {
      throw outputFailure(error, place);
    }
  }

  async heldManifest(digest: Digest): Promise<Buffer | undefined> {
    const path = this.#blobPath(digest);
    try {
      const found = await lstat(path);
      return found.isFile() && found.size <= MAX_MANIFEST_SIZE_BYTES ? await readFile(path) : undefined;
    } catch (error) {
      if (isAbsentError(error)) return undefined;
      throw outputFailure(error, path);
    }
  }

  async begin(plan: ImagePlan): Promise<void> {
    if (this.#force || (await this.#namesAlready(plan)) !== false) return;
    const what = `${join(this.place, LAYOUT_INDEX_FILE)} names another image`;
    throw fetchError('ERR_OUTPUT_EXISTS', `${what} than ${plan.top.digest}`);
  }

  async holds(blob: WantedBlob, options: { signal?: AbortSignal | undefined }): Promise<boolean> {
    const path = this.#blobPath(blob.digest);
    try {
      const found = await lstat(path);
      const isSized = found.isFile() && found.size === blob.sizeBytes;
      if (isSized && (await hashFile(path, digestAlgorithm(blob.digest), options)).digest === blob.digest) return true;
    } catch (error) {
      if (isAbsentError(error)) return false;
      throw outputFailure(error, path);
    }
    if (this.#force) return false;
    throw fetchError('ERR_OUTPUT_EXISTS', `${path} is there, but its content is not what its name says`);
  }

  async gather(
    blob: WantedBlob,
    openBlob: OpenBlob,
    progress: FetchProgress,
    options: { signal?: AbortSignal | undefined },
  ): Promise<boolean> {
    const final = this.#blobPath(blob.digest);
    try {
      return await gatherBlob(blob, { part: this.#work.partOf(blob.digest), final }, openBlob, progress, options);
    } catch (error) {
      throw outputFailure(error, final);
    }
  }

  async putManifest({ digest, bytes }: PlannedManifest): Promise<void> {
    const blob = { digest, sizeBytes: bytes.length };
    if (await this.holds(blob, {})) return;
    const path = this.#blobPath(digest);
    try {
      await makeFolder(dirname(path));
      await this.#put(path, bytes);
    } catch (error) {
      throw outputFailure(error, path);
    }
  }

  async finish(plan: ImagePlan): Promise<void> {
    const { top } = plan;
    const index = layoutIndexBytes({ ...top, sizeBytes: top.bytes.length });
    try {
      if (!(await isThere(join(this.place, LAYOUT_FILE))))
        await this.#put(join(this.place, LAYOUT_FILE), LAYOUT_FILE_BYTES);
      if ((await this.#namesAlready(plan)) !== true) await this.#put(join(this.place, LAYOUT_INDEX_FILE), index);
      await nodeDisk.syncFolder(this.place);
      await this.#work.remove();
    } catch (error) {
      throw outputFailure(error, this.place);
    }
  }

  /** A folder that was made for nothing goes again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work.close();
    if (this.#isNew) await removeIfEmpty(this.place);
  }

  #blobPath(digest: Digest): string {
    return join(this.place, layoutBlobPath(digest));
  }

  /** `undefined` when there is no index yet. */
  async #namesAlready({ top }: ImagePlan): Promise<boolean | undefined> {
    const path = join(this.place, LAYOUT_INDEX_FILE);
    let images;
    try {
      if ((await stat(path)).size > MAX_MANIFEST_SIZE_BYTES) return false;
      images = parseLayoutIndex(await readFile(path));
    } catch (error) {
      if (isAbsentError(error)) return undefined;
      const failure = outputFailure(error, path);
      if ('code' in failure && failure.code === 'ERR_MANIFEST_INVALID') return false;
      throw failure;
    }
    return images.some(({ digest }) => digest === top.digest);
  }

  /** Writes a small file durably, all of it or nothing. */
  async #put(path: string, bytes: Uint8Array): Promise<void> {
    const incoming = this.#work.pathOf('incoming');
    await nodeDisk.removeTree(incoming);
    await writeNewFile(nodeDisk, incoming, bytes);
    await rename(incoming, path);
  }
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    (error: unknown) => {
      if (isAbsentError(error)) return false;
      throw error;
    },
  );
}

/** @throws {DockyardError} ERR_OUTPUT_EXISTS */
async function requireUsable(place: string, force: boolean): Promise<void> {
  let names: string[];
  try {
    names = await readdir(place);
  } catch (error) {
    if (isAbsentError(error)) return;
    if ((error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error;
    throw fetchError('ERR_OUTPUT_EXISTS', `${place} is a file, and an image is written to a folder`);
  }
  const isOurs = names.includes(WORK_FOLDER) || names.includes(LAYOUT_FILE);
  if (names.length > 0 && !isOurs && !force) {
    throw fetchError('ERR_OUTPUT_EXISTS', `${place} holds files, and is no image layout`);
  }
  await refuseLinks(place);
}

/** A link below the folder could lead what is written out of it. */
async function refuseLinks(place: string): Promise<void> {
  for (const name of ['blobs', 'blobs/sha256', 'blobs/sha512']) {
    const path = join(place, name);
    try {
      if ((await lstat(path)).isDirectory()) continue;
    } catch (error) {
      if (isAbsentError(error)) continue;
      throw error;
    }
    throw fetchError('ERR_OUTPUT_EXISTS', `${path} is in the way: it is to be a folder`);
  }
}
