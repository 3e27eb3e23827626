/**
 * The server of app container images: pages that lead to them, the files, and pushes by PUT or by acpush. It answers its own
 * paths only, and the pages of names, which may be any path with `?ac-discovery=1`.
 */
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { AciLimits } from '../archive/aci-inspection.ts';
import { appcError } from '../errors.ts';
import { formatTorrentLink } from '../discovery/torrent-link.ts';
import { MAX_SIGNATURE_BYTES, parseSignature } from '../signature/detached-signature.ts';
import type { Keyring } from '../signature/keyring.ts';
import { isAcName } from '../values/ac-name.ts';
import type { AppReference } from '../values/app-reference.ts';
import { AciIntake } from './aci-intake.ts';
import { repositoryOf, tagOf, type AciKey } from './aci-key.ts';
import { ACI_MEDIA_TYPES, type AciShelf, type KeptBytes, type ShelfOptions, type ShelvedAci } from './aci-shelf.ts';
import { filePath, parseFilePath, parseKeyPath, simpleCandidates, type AciFile } from './appc-paths.ts';
import { APPC_PATHS, renderDiscoveryPage } from './discovery-page.ts';
import { ExpiringMap } from './expiring-map.ts';
import { PushGuard, type Pusher } from './push-guard.ts';
import { PushSessions } from './push-sessions.ts';
import { emptyAnswer, jsonAnswer, pushEvent, textAnswer, type AppcAnswer, type AppcRequest } from './server-ports.ts';

export interface AppcServerDeps {
  readonly shelf: AciShelf;
  readonly clock: { nowMs(): number };
  /** Told of an image that can be seen from now on. */
  readonly onPublished: (aci: ShelvedAci) => void;
}

export interface AppcServerConfig {
  /** Where clients reach this seed; `undefined` for the host that each of them asks, by plain http. */
  readonly url: string | undefined;
  readonly keyring: Keyring;
  readonly allowUnsigned: boolean;
  readonly pushers: readonly Pusher[];
  /** The path of a blob's torrent file at this seed, where it makes them. */
  readonly torrentPath?: ((digest: Digest, repository: RepositoryName) => string) | undefined;
  readonly limits: AciLimits;
}

/** The version that stands for the latest one. */
const LATEST = 'latest';

/** Signatures that wait for their images: 16 MiB at most. */
const MAX_WAITING = 256;
const WAITING_TTL_MS = 3_600_000;

const HOST = /^(?:([a-z0-9._-]+)|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/** Answers requests; keeps in memory only what is under way. */
export class AppcServer {
  readonly #deps: AppcServerDeps;
  readonly #config: AppcServerConfig;
  readonly #intake: AciIntake;
  readonly #guard: PushGuard;
  readonly #sessions: PushSessions;
  readonly #waiting: ExpiringMap<Buffer>;

  constructor(deps: AppcServerDeps, config: AppcServerConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#intake = new AciIntake(deps, config);
    this.#guard = new PushGuard({
      pushers: config.pushers,
      isBehindTls: config.url?.startsWith('https:') === true,
    });
    this.#sessions = new PushSessions({ ...deps, intake: this.#intake });
    this.#waiting = new ExpiringMap(deps.clock, { maxEntries: MAX_WAITING, ttlMs: WAITING_TTL_MS });
  }

  /** @returns undefined for a path that is none of its own @throws {DockyardError} what the client is to be told */
  async answer(request: AppcRequest): Promise<AppcAnswer | undefined> {
    const { path, query } = request;
    if (query.get('ac-discovery') === '1')
      return isPull(request) ? this.#discoveryPage(request) : notAllowed('GET, HEAD');
    if (path === APPC_PATHS.keys) return isPull(request) ? this.#keys() : notAllowed('GET, HEAD');
    if (path.startsWith(`${APPC_PATHS.images}/`))
      return await this.#file(parseFilePath(path.slice(APPC_PATHS.images.length + 1)), request);
    if (path.startsWith(`${APPC_PATHS.push}/`)) return this.#beginPush(request);
    if (path.startsWith(`${APPC_PATHS.sessions}/`))
      return (
        this.#refusal(request) ?? (await this.#sessions.answer(path.slice(APPC_PATHS.sessions.length + 1), request))
      );
    if (/\.aci(?:\.asc)?$/.test(path) && !path.startsWith('/v2/') && isPull(request))
      return await this.#simple(request);
    return undefined;
  }

  #discoveryPage(request: AppcRequest): AppcAnswer {
    const { host, baseUrl } = this.#place(request);
    const name = `${host}${request.path === '/' ? '' : request.path}`;
    if (!isAcName(name)) return textAnswer(404, 'no image can have this name');
    const hasKeys = this.#config.keyring.keys.length > 0;
    const html = renderDiscoveryPage({ prefix: host, baseUrl, hasKeys });
    const headers = { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-cache' };
    return { kind: 'document', status: 200, headers, body: Buffer.from(html) };
  }

  #keys(): AppcAnswer {
    const { armored, keys } = this.#config.keyring;
    if (keys.length === 0) return textAnswer(404, 'this seed trusts no keys');
    const headers = { 'Content-Type': 'application/pgp-keys', 'Cache-Control': 'no-cache' };
    return { kind: 'document', status: 200, headers, body: Buffer.from(armored) };
  }

  async #file(file: AciFile, request: AppcRequest): Promise<AppcAnswer> {
    if (isPull(request)) return await this.#pull(file, request);
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return refusal;
    if (request.method === 'PUT')
      return file.extension === 'aci'
        ? await this.#putImage(file.key, request)
        : await this.#putSignature(file, request);
    if (request.method !== 'DELETE' || file.extension !== 'aci') return notAllowed('GET, HEAD, PUT, DELETE');
    await this.#deps.shelf.delete(file.key, request);
    const target = { repository: repositoryOf(file.key.name), tag: tagOf(file.key) };
    return { ...emptyAnswer(204), event: { action: 'delete', ...target } };
  }

  async #pull(file: AciFile, options: ShelfOptions): Promise<AppcAnswer> {
    const found = await this.#deps.shelf.find(file.key, options);
    if (found !== undefined) return this.#content(found, file, options);
    const latest = file.key.version === LATEST ? await this.#deps.shelf.latest(file.key, options) : undefined;
    if (latest === undefined) throw unknown(file);
    const { version } = latest;
    return emptyAnswer(302, {
      Location: filePath({ ...file, key: { ...file.key, version } }),
      'Cache-Control': 'no-cache',
    });
  }

  #content(found: ShelvedAci, file: AciFile, options: ShelfOptions): AppcAnswer {
    const isImage = file.extension === 'aci';
    const { torrentPath } = this.#config;
    const mediaType = isImage ? ACI_MEDIA_TYPES.aci : ACI_MEDIA_TYPES.signature;
    const kept = isImage ? found.aci : found.signature;
    if (kept === undefined) throw unknown(file);
    return {
      kind: 'content',
      tag: `"${kept.digest}"`,
      // It may be replaced by another push, so it is asked for again; what did not change costs nothing then.
      headers: {
        'Content-Type': mediaType,
        'Cache-Control': 'no-cache',
        ...(isImage && torrentPath !== undefined
          ? { Link: formatTorrentLink(torrentPath(kept.digest, found.artifact.repository)) }
          : {}),
      },
      sizeBytes: kept.sizeBytes,
      event: { action: 'pull', repository: found.artifact.repository, mediaType, ...factsOf(kept) },
      open: async () => {
        const reading = await this.#deps.shelf.open(found.key, kept.digest, options);
        if (reading === undefined) throw unknown(file);
        return reading;
      },
    };
  }

  async #simple(request: AppcRequest): Promise<AppcAnswer | undefined> {
    const { host } = this.#place(request);
    for (const file of simpleCandidates(host, request.path)) {
      const found = await this.#deps.shelf.find(file.key, request);
      if (found !== undefined) return this.#content(found, file, request);
    }
    return undefined;
  }

  async #putSignature({ key }: AciFile, request: AppcRequest): Promise<AppcAnswer> {
    const signature = await request.wholeBody(MAX_SIGNATURE_BYTES);
    await parseSignature(signature);
    const found = await this.#deps.shelf.find(key, request);
    const signed = found === undefined ? undefined : await this.#intake.sign(found, signature, request);
    if (signed !== undefined) return published(signed);
    this.#waiting.set(waitingKey(key), signature);
    return textAnswer(202, 'the signature waits for its image: push that now');
  }

  async #putImage(key: AciKey, request: AppcRequest): Promise<AppcAnswer> {
    const signature = this.#waiting.get(waitingKey(key));
    const taken = await this.#intake.take(request.body(), { reference: referenceOf(key), signature }, request);
    let aci: ShelvedAci;
    try {
      aci = await taken.publish(request);
    } finally {
      await taken.drop();
    }
    if (this.#waiting.get(waitingKey(key)) === signature) this.#waiting.take(waitingKey(key));
    this.#deps.onPublished(aci);
    return published(aci);
  }

  #beginPush(request: AppcRequest): AppcAnswer {
    if (request.method !== 'POST') return notAllowed('POST');
    const key = parseKeyPath(request.path.slice(APPC_PATHS.push.length + 1));
    return this.#refusal(request) ?? this.#sessions.begin(referenceOf(key), this.#place(request).baseUrl);
  }

  #refusal({ clientAddress, headers }: AppcRequest): AppcAnswer | undefined {
    const verdict = this.#guard.check({ authorization: headers.authorization, clientAddress });
    if (verdict === 'welcome') return undefined;
    if (verdict === 'who-are-you')
      return textAnswer(401, 'this seed takes pushes from those that it knows', {
        'WWW-Authenticate': 'Basic realm="appc", charset="UTF-8"',
      });
    return textAnswer(
      403,
      'pushes need a password here, which is not to be sent without https: ask the operator for its URL',
    );
  }

  /** The host that names begin with, and where this seed is reached. What proxies say of themselves is not believed. */
  #place({ headers }: AppcRequest): { readonly host: string; readonly baseUrl: string } {
    const [whole, hostname] = HOST.exec(headers.host ?? '') ?? [];
    if (whole === undefined) throw appcError('ERR_AC_NAME_INVALID', 'the request names no proper host');
    return { host: (hostname ?? '').toLowerCase(), baseUrl: this.#config.url ?? `http://${whole.toLowerCase()}` };
  }
}

function isPull({ method }: AppcRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** What a URL says of an image; `latest` may come to be any version. */
function referenceOf({ name, version, os, arch }: AciKey): AppReference {
  return {
    name,
    labels: new Map([
      ['version', version],
      ['os', os],
      ['arch', arch],
    ]),
  };
}

function waitingKey({ name, version, os, arch }: AciKey): string {
  return JSON.stringify([name, version, os, arch]);
}

function factsOf({ digest, sizeBytes }: KeptBytes): KeptBytes {
  return { digest, sizeBytes };
}

function published(found: ShelvedAci): AppcAnswer {
  const { aci, imageId, key } = found;
  const { name, version, os, arch } = key;
  const facts = { name, version, os, arch, imageID: imageId, digest: aci.digest, size: aci.sizeBytes };
  const answer = jsonAnswer(201, facts, { Location: filePath({ key, extension: 'aci' }) });
  return { ...answer, event: pushEvent(found) };
}

function notAllowed(methods: string): AppcAnswer {
  return textAnswer(405, `allowed here: ${methods}`, { Allow: methods });
}

function unknown({ key, extension }: AciFile): Error {
  const what = extension === 'aci' ? 'image' : 'signature of an image';
  const { name, version, os, arch } = key;
  return appcError('ERR_ACI_UNKNOWN', `there is no ${what} ${name}:${version},os=${os},arch=${arch} here`);
}
