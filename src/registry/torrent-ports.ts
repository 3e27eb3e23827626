/** What the facade needs from below to give out torrents. */
import type { Digest } from '../oci/digest.ts';
import type { BlobService, ManifestService, RequestContext, ServedManifest } from './ports.ts';

/** A torrent file. */
export interface TorrentDocument {
  readonly bytes: Buffer;
  /** Of the swarm: 40 hexadecimal digits. */
  readonly infoHash: string;
}

/** Where the parts of an image come from. */
export interface ImageSource {
  readonly manifests: ManifestService;
  readonly blobs: BlobService;
  readonly context: RequestContext;
}

/** A file of an image's layout: at hand, or a blob. */
export type ImageFile = { readonly bytes: Buffer } | { readonly digest: Digest };

export interface TorrentService {
  /**
   * The torrent of a blob that is named by its digest alone; `undefined` when this node does not hold it, or holds it for
   * repositories of its own. @param webSeed where plain HTTP gives it
   */
  ofHeldBlob(digest: Digest, webSeed: string | undefined, signal: AbortSignal): Promise<TorrentDocument | undefined>;
  /** The torrent of a blob of a repository, which is fetched for it; `undefined` when the repository does not have it. */
  ofBlob(digest: Digest, source: ImageSource, webSeed: string | undefined): Promise<TorrentDocument | undefined>;
  /** The torrent of an image, all of which is fetched for it. @param webSeed of the folder that holds the torrent's */
  ofImage(root: ServedManifest, source: ImageSource, webSeed: string | undefined): Promise<TorrentDocument>;
  /** A file of an image's layout; `undefined` when there is none of that path. */
  findFile(root: ServedManifest, source: ImageSource, path: readonly string[]): Promise<ImageFile | undefined>;
  /** Blobs that this node holds, and gives to who knows their digest alone. */
  readonly held: BlobService;
}
