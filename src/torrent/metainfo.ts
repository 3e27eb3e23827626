/**
 * Torrent files ("metainfo"): what is shared, cut into pieces with their SHA-1, and where to ask for it. Written in one
 * canonical form without date or version, so that the same content gives the same torrent on every node, and all who make
 * it meet in one swarm.
 * @see BEP 3 (metainfo), BEP 12 (announce-list), BEP 19 (url-list), BEP 27 (private)
 */
import { createHash } from 'node:crypto';
import { encodeBencode, type BencodeInput } from '../bencode/bencode.ts';

/** Bytes of a piece hash and of an info hash: SHA-1. */
export const SHA1_BYTES = 20;

/** A file of a torrent. */
export interface TorrentFile {
  /** Folders and name, below the folder that the torrent is named after; for a single file, the name alone. */
  readonly path: readonly string[];
  readonly sizeBytes: number;
  /** Where it begins in the bytes of the torrent, which are all its files one behind the other. */
  readonly offsetBytes: number;
  /** Nothing but room up to the next piece: never written. @see BEP 47 */
  readonly isPadding: boolean;
}

/** What a swarm is about: all that the info hash covers. */
export interface TorrentInfo {
  /** SHA-1 of `bytes`, in lower-case hexadecimal digits. */
  readonly infoHash: string;
  /** The bencoded dictionary. */
  readonly bytes: Buffer;
  readonly name: string;
  /** True when the torrent is one file, and `name` is the file's; else `name` is a folder's. */
  readonly isSingleFile: boolean;
  readonly files: readonly TorrentFile[];
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  /** 20 bytes for each piece. */
  readonly pieceHashes: Buffer;
  /** Peers are to be had of its trackers alone. */
  readonly isPrivate: boolean;
}

/** A torrent file. */
export interface Metainfo {
  readonly info: TorrentInfo;
  /** URLs of trackers; those of one tier are alike, and a later tier is for when an earlier one fails. */
  readonly trackerTiers: readonly (readonly string[])[];
  /** Where plain HTTP gives the content: the file itself, or the folder that has the torrent's folder in it. */
  readonly webSeeds: readonly string[];
  readonly comment: string | undefined;
}

/** What a torrent is made of. */
export interface TorrentContent {
  readonly name: string;
  /** Paths and lengths in order; one with the torrent's own name alone makes a torrent of a single file. */
  readonly files: readonly { readonly path: readonly string[]; readonly sizeBytes: number }[];
  readonly isSingleFile: boolean;
  readonly pieceSizeBytes: number;
  /** 20 bytes for each piece of the files one behind the other. */
  readonly pieceHashes: Buffer;
  readonly isPrivate?: boolean | undefined;
}

/** Makes the info dictionary of content, canonical to the byte. */
export function makeTorrentInfo(content: TorrentContent): TorrentInfo {
  const { name, isSingleFile, pieceSizeBytes, pieceHashes } = content;
  const isPrivate = content.isPrivate ?? false;
  const files = placeFiles(content.files.map(({ path, sizeBytes }) => ({ path, sizeBytes, isPadding: false })));
  const sizeBytes = totalBytes(files);
  const bytes = encodeBencode({
    ...(isSingleFile
      ? { length: sizeBytes }
      : { files: files.map((file): BencodeInput => ({ length: file.sizeBytes, path: file.path })) }),
    name,
    'piece length': pieceSizeBytes,
    pieces: pieceHashes,
    private: isPrivate ? 1 : undefined,
  });
  const infoHash = infoHashOf(bytes);
  return { infoHash, bytes, name, isSingleFile, files, sizeBytes, pieceSizeBytes, pieceHashes, isPrivate };
}

/** Puts files one behind the other. */
export function placeFiles(files: readonly Omit<TorrentFile, 'offsetBytes'>[]): TorrentFile[] {
  let offsetBytes = 0;
  return files.map((file) => {
    const placed = { ...file, offsetBytes };
    offsetBytes += file.sizeBytes;
    return placed;
  });
}

/** The end of the last file. */
export function totalBytes(files: readonly TorrentFile[]): number {
  const last = files.at(-1);
  return last === undefined ? 0 : last.offsetBytes + last.sizeBytes;
}

/** The name of the swarm of an info dictionary. */
export function infoHashOf(infoBytes: Uint8Array): string {
  return createHash('sha1').update(infoBytes).digest('hex');
}

/** The same content, to be shared with peers of its trackers alone or with all: another info hash, another swarm. */
export function withPrivacy(info: TorrentInfo, isPrivate: boolean): TorrentInfo {
  return info.isPrivate === isPrivate ? info : makeTorrentInfo({ ...info, isPrivate });
}

/** The torrent file itself. */
export function encodeMetainfo(metainfo: Metainfo): Buffer {
  const { info, trackerTiers, webSeeds, comment } = metainfo;
  const [first] = trackerTiers.flat();
  // The info dictionary is put in as it was hashed, and the keys around it in their order.
  const before = encodeBencode({
    announce: first,
    // A single tracker needs no list, and the oldest clients know none.
    'announce-list': trackerTiers.flat().length > 1 ? trackerTiers : undefined,
    comment,
    'created by': CREATED_BY,
  });
  const after = encodeBencode({ 'url-list': webSeeds.length === 0 ? undefined : webSeeds });
  return Buffer.concat([before.subarray(0, -1), Buffer.from('4:info'), info.bytes, after.subarray(1)]);
}

/** Without a version: the same torrent is to have the same bytes tomorrow. */
const CREATED_BY = 'Dockyard';
