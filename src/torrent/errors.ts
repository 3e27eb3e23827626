/** The codes of the BitTorrent layer. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

export const TORRENT_ERRORS = {
  ERR_METAINFO_INVALID: {
    meaning: 'A torrent file is malformed, or contradicts itself.',
    remedy: 'Get the torrent file again from where it was made; the message says what is wrong with it.',
  },
  ERR_METAINFO_TOO_LARGE: {
    meaning: 'A torrent file has more bytes, files or pieces than are put up with, or pieces that are too large.',
    remedy:
      'Make the torrent anew with fewer files or with pieces of 64 KiB to 16 MiB; docs/LIMITS.md names the limits.',
  },
  ERR_METAINFO_UNSAFE: {
    meaning: 'A torrent file names files that would lie outside of their folder, or in each other’s place.',
    remedy: 'Do not use this torrent: it was made with ill intent, or by a broken program.',
  },
  ERR_METAINFO_EMPTY: {
    meaning: 'A torrent would have no bytes.',
    remedy: 'There is nothing to share: make the empty file where it is needed.',
  },
  ERR_MAGNET_INVALID: {
    meaning: 'A magnet link names no BitTorrent info hash, or is malformed.',
    remedy: 'Copy the whole link: it begins with `magnet:?` and has `xt=urn:btih:` and 40 hexadecimal digits in it.',
  },
  ERR_TORRENT_LISTEN: {
    meaning: 'The port for torrent clients cannot be listened on.',
    remedy: 'Free the port, or choose another with `--torrent HOST:PORT`.',
  },
  ERR_TORRENT_FAILED: {
    meaning: 'A torrent could not go on: its engine, or the place that it is read from or written to, failed.',
    remedy: 'The cause says what failed; try again when that is mended. Verified pieces are kept.',
  },
  ERR_TORRENT_CLOSED: {
    meaning: 'The torrent engine was closed while something was asked of it.',
    remedy: 'Nothing: the node is stopping.',
  },
  ERR_TORRENT_MISMATCH: {
    meaning: 'All pieces of a torrent arrived, and the whole is not what its digest says.',
    remedy: 'The torrent was made of other content than its name says: do not use it.',
  },
  ERR_TORRENT_UNSUITABLE: {
    meaning:
      'A torrent is not one that can be downloaded into the content store: not a single blob, or pieces that do not fit.',
    remedy: 'Download it into a folder, or use the torrent that a node makes of the blob.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type TorrentErrorCode = keyof typeof TORRENT_ERRORS;

/** Makes an error of this layer. */
export function torrentError(
  code: TorrentErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<TorrentErrorCode> {
  return new DockyardError(code, message, options);
}
