/**
 * Paths of torrents, beside those of the distribution specification:
 *
 *   /torrents/<digest>.torrent                                the torrent of a blob that is held for everyone
 *   /torrents/<digest>                                        its web seed
 *   /torrents/<name>/<tag or digest>.torrent                  the torrent of an image, as an OCI image layout
 *   /torrents/<name>/<digest>.torrent                         the torrent of a blob of a repository
 *   /torrents/<name>/<algorithm>-<hex>/<path in the layout>   its web seed; what follows the name is the torrent's folder
 */

/** What a path asks for; the texts are untrusted. */
export type TorrentPath =
  | { readonly kind: 'blob-torrent'; readonly digestText: string }
  | { readonly kind: 'blob'; readonly digestText: string }
  | { readonly kind: 'image-torrent'; readonly nameText: string; readonly referenceText: string }
  | {
      readonly kind: 'layout-file';
      readonly nameText: string;
      readonly digestText: string;
      readonly filePath: readonly string[];
    };

/** Where all of them begin. */
export const TORRENTS_PREFIX = '/torrents/';

const SUFFIX = '.torrent';
const LAYOUT_FILE = /^(.+)\/(sha256|sha512)-([a-f0-9]+)\/(oci-layout|index\.json|blobs\/(?:sha256|sha512)\/[a-f0-9]+)$/;

/** Reads a path; `undefined` when it is none of these. Never throws. */
export function parseTorrentPath(path: string): TorrentPath | undefined {
  if (!path.startsWith(TORRENTS_PREFIX)) return undefined;
  const rest = path.slice(TORRENTS_PREFIX.length);
  const [, nameText = '', algorithm, hex, filePath = ''] = LAYOUT_FILE.exec(rest) ?? [];
  if (filePath !== '')
    return { kind: 'layout-file', nameText, digestText: `${algorithm}:${hex}`, filePath: filePath.split('/') };
  const slash = rest.lastIndexOf('/');
  if (!rest.endsWith(SUFFIX)) return slash === -1 && rest !== '' ? { kind: 'blob', digestText: rest } : undefined;
  const last = rest.slice(slash + 1, -SUFFIX.length);
  if (slash === -1) return { kind: 'blob-torrent', digestText: last };
  return { kind: 'image-torrent', nameText: rest.slice(0, slash), referenceText: last };
}
