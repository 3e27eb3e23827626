/**
 * How a server says that a file can be had by BitTorrent too: a `Link` header with the file, beside the file itself.
 * @see RFC 6249 (Metalink/HTTP), section 4.1; RFC 8288 for the header
 */

const TORRENT_TYPE = 'application/x-bittorrent';

const LINK = /<([^<>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)/g;

/** The value of the header. */
export function formatTorrentLink(url: string): string {
  return `<${url}>; rel=describedby; type="${TORRENT_TYPE}"`;
}

/** The torrent file that the `Link` headers of an answer name; `undefined` when there is none. */
export function torrentLinkOf(headers: readonly string[], answered: URL): URL | undefined {
  for (const [, target = '', parameters = ''] of headers.join(',').slice(0, 16_384).matchAll(LINK)) {
    if (!/;\s*rel\s*=\s*"?describedby"?\s*(?:;|$)/i.test(parameters)) continue;
    if (!/;\s*type\s*=\s*"?application\/x-bittorrent"?\s*(?:;|$)/i.test(parameters)) continue;
    const url = URL.parse(target, answered.href);
    if (url !== null && /^https?:$/.test(url.protocol)) return url;
  }
  return undefined;
}
