/**
 * Where everything lies in a store directory.
 *
 *   STORE      = VERSION content/ index/ [index.damaged/]
 *   VERSION    = `dockyard-store`: the line "dockyard store 1"
 *   content/   = blobs/<alg>/<2 hex>/<hex>              a complete blob; its owner-write bit is cleared while it is pinned
 *                partial/<alg>-<hex>/data               sparse file, as long as the blob
 *                partial/<alg>-<hex>/map                piece hashes: see partial-map.ts
 *                incoming/<random>                      a blob before its rename; all is removed at open
 *                uploads/<id>                           what is being pushed to a seed; kept over restarts
 *                quarantine/<ms>-<alg>-<hex>            found damaged; the newest few are kept for inspection
 *   index/     = a level database, see content-index.ts:
 *                b!<digest> blob facts (JSON)           p!<digest> piece hashes (binary)
 *                m!<digest> manifest facts (JSON)       d!<digest> manifest bytes
 *                t!<upstream>NUL<name>NUL<tag>          the last answer for a tag (JSON)
 *   index.damaged/   the last index that could not be repaired, for inspection
 *   <alg>      = sha256 | sha512        <hex> = lower-case digits of the digest        <2 hex> = its first two
 *
 * The files are the truth, the index a faster view of them: it can be lost and is then made again from the files.
 */
import { join } from 'node:path';
import { digestAlgorithm, digestHex, type Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';

/** The content of the version file. A store with another content is not touched. */
export const STORE_VERSION_LINE = 'dockyard store 1\n';

/** Permissions of a blob file. The pin is kept there too, so that it outlives a lost index. */
export const BLOB_FILE_MODE = { pinned: 0o444, unpinned: 0o644 } as const;

/** True when the permissions of a blob file say that it is pinned. */
export function isPinnedMode(mode: number): boolean {
  return (mode & 0o200) === 0;
}

/** The paths of one store. */
export class StoreLayout {
  readonly directory: string;
  readonly versionFile: string;
  readonly indexFolder: string;
  readonly blobsFolder: string;
  readonly partialFolder: string;
  readonly incomingFolder: string;
  readonly uploadsFolder: string;
  readonly quarantineFolder: string;

  /** @param directory the store directory */
  constructor(directory: string) {
    this.directory = directory;
    this.versionFile = join(directory, 'dockyard-store');
    this.indexFolder = join(directory, 'index');
    this.blobsFolder = join(directory, 'content', 'blobs');
    this.partialFolder = join(directory, 'content', 'partial');
    this.incomingFolder = join(directory, 'content', 'incoming');
    this.uploadsFolder = join(directory, 'content', 'uploads');
    this.quarantineFolder = join(directory, 'content', 'quarantine');
  }

  /** The folder in which a complete blob lies. */
  blobShard(digest: Digest): string {
    return join(this.blobsFolder, digestAlgorithm(digest), digestHex(digest).slice(0, 2));
  }

  /** The file of a complete blob. */
  blobFile(digest: Digest): string {
    return join(this.blobShard(digest), digestHex(digest));
  }

  /** The folder of a partial blob. */
  partialBlobFolder(digest: Digest): string {
    return join(this.partialFolder, fileSafeDigest(digest));
  }

  /** Where a damaged blob is set aside. */
  quarantineFile(digest: Digest, nowMs: number): string {
    return join(this.quarantineFolder, `${String(nowMs).padStart(15, '0')}-${fileSafeDigest(digest)}`);
  }
}

/** `sha256-<hex>`. */
export function fileSafeDigest(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

/** Key prefixes of the index; each ends at the first `!`. */
export const INDEX_PREFIX = { blob: 'b!', pieces: 'p!', manifest: 'm!', manifestBytes: 'd!', tag: 't!' } as const;

/** The key of a tag. NUL is in no upstream, name or tag, so two different tags never share a key. */
export function tagKey(repository: Repository, tag: Tag): string {
  return `${INDEX_PREFIX.tag}${repository.upstream}\0${repository.name}\0${tag}`;
}
