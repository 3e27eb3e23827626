/** Torrents for tests. */
import { encodeBencode, type BencodeInput } from '../../../src/bencode/bencode.ts';
import { makeTorrent, type SourceFile } from '../../../src/torrent/make-torrent.ts';
import type { TorrentInfo } from '../../../src/torrent/metainfo.ts';

/** A file in memory, given out in chunks. */
export function memoryFile(path: readonly string[], bytes: Buffer, chunkBytes = 100_000): SourceFile {
  return {
    path,
    sizeBytes: bytes.length,
    async *read() {
      for (let start = 0; start < bytes.length; start += chunkBytes) {
        yield await Promise.resolve(bytes.subarray(start, start + chunkBytes));
      }
    },
  };
}

/** The torrent of one file in memory. */
export async function infoOf(name: string, bytes: Buffer): Promise<TorrentInfo> {
  return await makeTorrent({ name, files: [memoryFile([name], bytes)], isSingleFile: true });
}

/** A torrent file with an info dictionary that no builder of ours would make. */
export function craftMetainfo(info: { readonly [key: string]: BencodeInput | undefined }): Buffer {
  return encodeBencode({ announce: 'http://tracker.example/announce', info });
}

/** An info dictionary that is right; tests change what they are about. */
export const RIGHT_INFO = {
  length: 40_000,
  name: 'file',
  'piece length': 16_384,
  pieces: Buffer.alloc(60, 7),
} as const;
