/**
 * One announce to one BitTorrent tracker, over HTTP or UDP. An own client, because that of bittorrent-tracker 11 ends the
 * whole process when a tracker breaks off an answer: see docs/decisions/0003-tracker-client.md.
 * @see BEP 3 and 23 (HTTP, compact peers), BEP 7 (IPv6), BEP 15 (UDP)
 */
import { getGlobalDispatcher, interceptors, request, type Dispatcher } from 'undici';
import { asError } from '../oci/error.ts';
import { decodeBencode } from '../bencode/bencode.ts';
import { swarmError } from './errors.ts';
import { readAnswer, type TrackerAnnounce, type TrackerAnswer } from './tracker-answer.ts';
import { announceOverUdp } from './tracker-udp.ts';

/** An answer that is larger is none: 200 peers take 1,200 bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

const MAX_REDIRECTS = 5;

/**
 * Reads a tracker's URL: `http`, `https` or `udp`; `/announce` is meant where no path is given.
 * @throws {DockyardError} ERR_TRACKER_FAILED
 */
export function parseTrackerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const known = url !== undefined && ['http:', 'https:', 'udp:'].includes(url.protocol) && url.hostname !== '';
  if (!known)
    throw swarmError('ERR_TRACKER_FAILED', `'${text.slice(0, 300)}' is not the URL of a tracker (http, https or udp)`);
  if (url.protocol === 'udp:') {
    if (url.port === '') throw swarmError('ERR_TRACKER_FAILED', `the tracker ${text.slice(0, 300)} has no port`);
  } else if (url.pathname === '/') url.pathname = '/announce';
  return url;
}

/** Announces, and returns the answer. @throws {DockyardError} ERR_TRACKER_FAILED, a TrackerRefusal its cause where it refused; the signal's reason */
export async function announceToTracker(
  url: URL,
  announce: TrackerAnnounce,
  options: { signal: AbortSignal },
): Promise<TrackerAnswer> {
  options.signal.throwIfAborted();
  try {
    return await (url.protocol === 'udp:'
      ? announceOverUdp(url, announce, options)
      : announceOverHttp(url, announce, options));
  } catch (error) {
    options.signal.throwIfAborted();
    throw swarmError('ERR_TRACKER_FAILED', `the tracker ${url.host} failed: ${asError(error).message}`, {
      cause: error,
    });
  }
}

async function announceOverHttp(
  url: URL,
  announce: TrackerAnnounce,
  options: { signal: AbortSignal },
): Promise<TrackerAnswer> {
  // Not `fetch`, which refuses a list of "bad ports" that a tracker may well listen on.
  const { statusCode, body } = await request(announceUrl(url, announce), { ...options, dispatcher: redirecting() });
  const bytes = await readBounded(body);
  if (statusCode < 200 || statusCode > 299) throw new Error(`it answered with status ${statusCode}`);
  return readAnswer(decodeBencode(bytes));
}

function announceUrl(url: URL, announce: TrackerAnnounce): string {
  const query = new URLSearchParams({
    port: String(announce.port),
    uploaded: String(announce.sentBytes ?? 0),
    downloaded: String(announce.receivedBytes ?? 0),
    left: String(announce.leftBytes),
    compact: '1',
    numwant: String(announce.wantedPeers),
  });
  if (announce.event !== 'update') query.set('event', announce.event);
  if (announce.proof !== undefined) query.set('proof', announce.proof);
  // Raw bytes, which URLSearchParams would encode as text.
  const raw = `info_hash=${percentEncode(announce.infoHash)}&peer_id=${percentEncode(announce.peerId)}`;
  return `${url.href}${url.search === '' ? '?' : '&'}${raw}&${query.toString()}`;
}

function percentEncode(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

/** Follows a few redirects, as trackers behind load balancers send. */
function redirecting(): Dispatcher {
  return getGlobalDispatcher().compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTS }));
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error('its answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
