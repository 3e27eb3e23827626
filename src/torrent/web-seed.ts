/**
 * Reading from web seeds, in place of webtorrent's own way, which keeps whatever a server sends, be it without end, and goes
 * wherever a server points. A server that does not serve ranges is none, unless all of a file was asked for. @see BEP 19
 */
import { lookup } from 'node:dns';
import { lookup as resolve } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { Agent, request, type Dispatcher } from 'undici';
import type { WebConnection } from 'webtorrent';
import { addressScope, bareHost, literalAddress } from '../oci/address-scope.ts';
import { asError } from '../oci/error.ts';
import { parseContentRange, type ByteRange } from '../oci/byte-range.ts';

const MAX_REDIRECTS = 5;

/** For all of a piece; webtorrent asks again some seconds later. */
const TIMEOUT_MS = 60_000;

const CONNECT_TIMEOUT_MS = 10_000;

/** A file of a torrent as webtorrent has it. */
export interface WebSeedFile {
  /** With the torrent's name in front, where there are several. */
  readonly path: string;
  readonly length: number;
  /** Where it begins in the torrent. */
  readonly offset: number;
}

/** Has a web seed read by this file. */
export function readWebSeed(
  connection: WebConnection,
  { files, pieceLength }: { readonly files: readonly WebSeedFile[]; readonly pieceLength: number },
): void {
  const seed = new WebSeed(connection.url, files);
  connection.once('close', () => seed.close());
  connection.httpRequest = (index, offset, length, done) => {
    const start = index * pieceLength + offset;
    seed.read({ start, end: start + length }).then(
      (bytes) => done(null, bytes),
      (error: unknown) => done(asError(error)),
    );
  };
}

/** One web seed of one torrent. Whoever made it closes it. */
export class WebSeed {
  readonly #url: string;
  readonly #files: readonly WebSeedFile[];
  readonly #ending = new AbortController();
  readonly #scopeOf: ScopeOf;
  readonly #direct: Agent;
  readonly #guarded: Agent;

  /** @param scopeOf how far an IP address reaches */
  constructor(url: string, files: readonly WebSeedFile[], scopeOf: ScopeOf = addressScope) {
    this.#url = url;
    this.#files = files;
    this.#scopeOf = scopeOf;
    this.#direct = agent((address) => isNotLinkLocal(scopeOf(address)));
    this.#guarded = agent((address) => isPublic(scopeOf(address)));
  }

  /** Reads a range of the torrent, whole. Fails where the server says or sends anything else. */
  async read({ start, end }: ByteRange): Promise<Uint8Array> {
    const bytes = Buffer.alloc(end - start);
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    for (const file of this.#files) {
      const from = Math.max(start, file.offset);
      const to = Math.min(end, file.offset + file.length);
      if (from >= to) continue;
      const range = { start: from - file.offset, end: to - file.offset };
      await this.#readInto(bytes.subarray(from - start, to - start), file, range, signal);
    }
    return bytes;
  }

  /** Ends what is under way. Idempotent. */
  close(): void {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(new Error('the web seed was left'));
    for (const dispatcher of [this.#direct, this.#guarded]) void dispatcher.destroy();
  }

  #urlOf({ path }: WebSeedFile): URL {
    const isFolder = this.#url.endsWith('/');
    if (this.#files.length === 1 && !isFolder) return new URL(this.#url);
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    return new URL(`${this.#url}${isFolder ? '' : '/'}${encoded}`);
  }

  async #readInto(into: Buffer, file: WebSeedFile, range: ByteRange, signal: AbortSignal): Promise<void> {
    const { statusCode, headers, body } = await this.#request(this.#urlOf(file), range, signal);
    try {
      const told = parseContentRange(String(headers['content-range'] ?? ''))?.range;
      const isRange = statusCode === 206 && told?.start === range.start && told.end === range.end;
      const isWhole = statusCode === 200 && range.start === 0 && range.end === file.length;
      if (!isRange && !isWhole) throw new Error(`the web seed answered ${statusCode}, and not with the range`);
      let received = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (received + chunk.length > into.length) throw new Error('the web seed sent more than was asked of it');
        into.set(chunk, received);
        received += chunk.length;
      }
      if (received < into.length) throw new Error('the web seed sent less than was asked of it');
    } finally {
      if (!body.destroyed) body.destroy();
    }
  }

  async #request(first: URL, range: ByteRange, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const headers = { range: `bytes=${range.start}-${range.end - 1}`, 'user-agent': 'Dockyard' };
    let url = first;
    let dispatcher = this.#direct;
    for (let hops = 0; ; hops += 1) {
      const address = literalAddress(url);
      const isAllowed = dispatcher === this.#direct ? isNotLinkLocal : isPublic;
      if (address !== undefined && !isAllowed(this.#scopeOf(address)))
        throw new Error(`the web seed points to ${address}, which is not to be reached from there`);
      const answer = await request(url, { headers, dispatcher, signal });
      // Whoever reads hears of it; one that is left unread tells nobody.
      answer.body.on('error', () => undefined);
      const { location } = answer.headers;
      if (answer.statusCode < 300 || answer.statusCode >= 400 || typeof location !== 'string') return answer;
      answer.body.destroy();
      if (hops === MAX_REDIRECTS) throw new Error('the web seed redirects too often');
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol) || (url.protocol === 'https:' && next.protocol === 'http:'))
        throw new Error('the web seed redirects to where nothing is fetched from');
      // A server inside of the own network may point to others there; one on the Internet may not.
      if (!(await this.#isPrivate(first))) dispatcher = this.#guarded;
      url = next;
    }
  }

  async #isPrivate(url: URL): Promise<boolean> {
    const addresses = await resolve(bareHost(url), { all: true });
    return addresses.every(({ address }) => this.#scopeOf(address) === 'private');
  }
}

type ScopeOf = typeof addressScope;
type Scope = ReturnType<ScopeOf>;

const isPublic = (scope: Scope): boolean => scope === 'public';
const isNotLinkLocal = (scope: Scope): boolean => scope !== 'link-local';

/** Connections to allowed addresses alone: looked at when a name has been resolved for the connection, and not before. */
function agent(isAllowed: (address: string) => boolean): Agent {
  const guarded: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null) callback(error, '', 0);
      else if (first === undefined || !addresses.every(({ address }) => isAllowed(address)))
        callback(new Error(`${hostname} is at an address that is not to be reached from there`), '', 0);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
  return new Agent({ allowH2: false, connect: { timeout: CONNECT_TIMEOUT_MS, lookup: guarded }, connections: 4 });
}
