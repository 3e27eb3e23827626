/** Opening a store directory: its version, its folders, and what its files and its index say of complete blobs. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { isDigest } from '../oci/digest.ts';
import type { BlobCatalog } from './blob-catalog.ts';
import type { BlobRecords } from './blob-records.ts';
import type { BlobStat } from './blob-store.ts';
import { writeNewFile, type Disk } from './disk.ts';
import { contentError, isAbsentError } from './errors.ts';
import type { ScannedBlob } from './hash-protocol.ts';
import type { HashThread } from './hash-thread.ts';
import { isPinnedMode, STORE_VERSION_LINE, type StoreLayout } from './layout.ts';
import { openingFailure } from './opening-failure.ts';
import type { Quarantine } from './quarantine.ts';

/**
 * Makes a store directory, or checks that it is one of ours.
 * @throws {DockyardError} ERR_STORE_VERSION, ERR_STORE_FULL, ERR_STORE_IO
 */
export async function prepareDirectory(disk: Disk, layout: StoreLayout): Promise<void> {
  try {
    const above = await foldersAboveNew(disk, layout.directory);
    await disk.makeFolder(layout.directory);
    // What is durable in a new folder is lost with it, where its own name is not.
    for (const folder of above) await disk.syncFolder(folder);
    const line = await versionLine(layout);
    if (line === undefined) await foundStore(disk, layout);
    else if (line !== STORE_VERSION_LINE)
      throw wrongVersion(layout, `its version file says '${line.slice(0, 40).trim()}'`);
  } catch (error) {
    throw openingFailure(layout.directory, error);
  }
}

/**
 * Makes the folders of a store whose directory is prepared, and empties what an earlier process left half-written.
 * @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO
 */
export async function prepareFolders(disk: Disk, layout: StoreLayout): Promise<void> {
  try {
    await disk.removeTree(layout.incomingFolder);
    const { blobsFolder, partialFolder, incomingFolder, uploadsFolder, quarantineFolder } = layout;
    const folders = [blobsFolder, partialFolder, incomingFolder, uploadsFolder, quarantineFolder];
    for (const folder of folders) await disk.makeFolder(folder);
    // What is durable in a folder is lost with it, where its own name is not.
    for (const above of new Set([...folders.map((folder) => dirname(folder)), layout.directory])) {
      await disk.syncFolder(above);
    }
  } catch (error) {
    throw openingFailure(layout.directory, error);
  }
}

/** The folders that get a new name when one is made with all above it. */
async function foldersAboveNew(disk: Disk, path: string): Promise<string[]> {
  const isThere = await disk.stat(path).then(
    () => true,
    (error: unknown) => !isAbsentError(error),
  );
  const above = dirname(path);
  return isThere || above === path ? [] : [above, ...(await foldersAboveNew(disk, above))];
}

async function versionLine(layout: StoreLayout): Promise<string | undefined> {
  try {
    return await readFile(layout.versionFile, 'utf8');
  } catch (error) {
    if (isAbsentError(error)) return undefined;
    throw error;
  }
}

async function foundStore(disk: Disk, layout: StoreLayout): Promise<void> {
  const names = await disk.list(layout.directory);
  const taken = names.find((name) => name === 'content' || name === 'index');
  if (taken !== undefined) throw wrongVersion(layout, `it has '${taken}' but no version file`);
  const unfinished = `${layout.versionFile}.new`;
  await disk.removeTree(unfinished);
  await writeNewFile(disk, unfinished, Buffer.from(STORE_VERSION_LINE));
  await disk.rename(unfinished, layout.versionFile);
  await disk.syncFolder(layout.directory);
}

function wrongVersion(layout: StoreLayout, found: string): Error {
  return contentError('ERR_STORE_VERSION', `${layout.directory} is not a store of this version: ${found}`);
}

export interface LoadDeps {
  readonly disk: Disk;
  readonly layout: StoreLayout;
  readonly hashes: HashThread;
  readonly records: BlobRecords;
  readonly catalog: BlobCatalog;
  readonly quarantine: Quarantine;
  readonly log: Logger;
}

/**
 * Fills the catalog. The files decide what is held; the index adds when it was used, and which size it must have.
 * A file without an entry was published just before a crash, or the index was lost: it gets one.
 */
export async function loadCatalog(deps: LoadDeps): Promise<void> {
  // A new store has nothing to scan; then the hash thread is not even started.
  const isEmpty = (await deps.disk.list(deps.layout.blobsFolder)).length === 0;
  const scanning = isEmpty ? Promise.resolve([]) : deps.hashes.scan(deps.layout.blobsFolder);
  const known = new Map<string, BlobStat | undefined>();
  // A failed scan is reported where it is awaited; meanwhile it must not count as unhandled.
  scanning.catch(() => undefined);
  for await (const [key, facts] of deps.records.load()) known.set(key, facts);
  const held: BlobStat[] = [];
  const healed: BlobStat[] = [];
  for (const file of await scanning) {
    const expected = known.get(file.digest);
    known.delete(file.digest);
    const facts = expected ?? factsOfFile(file);
    if (facts === undefined) {
      deps.log.warn(
        { file: join(deps.layout.blobsFolder, file.digest.replace(':', '/')) },
        'file of another name among the blobs',
      );
    } else if (facts.sizeBytes !== file.sizeBytes) {
      await setAside(deps, facts, file.sizeBytes);
    } else {
      held.push(facts);
      if (expected === undefined) healed.push(facts);
    }
  }
  for (const facts of held.toSorted((a, b) => a.lastUsedAtMs - b.lastUsedAtMs)) deps.catalog.add(facts);
  await deps.records.save(healed);
  await deps.records.remove(known.keys());
  if (healed.length > 0 || known.size > 0)
    deps.log.info({ healed: healed.length, gone: known.size }, 'index healed from the files');
}

async function setAside(deps: LoadDeps, facts: BlobStat, foundBytes: number): Promise<void> {
  deps.log.error(
    { digest: facts.digest, sizeBytes: facts.sizeBytes, foundBytes },
    'blob file has another size and is set aside',
  );
  await deps.quarantine.take(facts.digest, foundBytes);
  await deps.records.remove([facts.digest]);
}

function factsOfFile(file: ScannedBlob): BlobStat | undefined {
  if (!isDigest(file.digest)) return undefined;
  const atMs = Math.floor(file.mtimeMs);
  return {
    digest: file.digest,
    sizeBytes: file.sizeBytes,
    addedAtMs: atMs,
    lastUsedAtMs: atMs,
    pinned: isPinnedMode(file.mode),
  };
}
