/**
 * Manifests and tags among peers. What a node learns of its upstream it offers to the homes of the manifest and of the tag;
 * when the upstream is down, others ask there. A tag from a peer is hearsay: it is only used when the upstream cannot be
 * asked, and never takes the place of what this node heard itself.
 */
import type { Logger } from 'pino';
import type { ManifestStore, StoredManifest, StoredTag } from '../content/manifest-store.ts';
import { asError, isAbortError } from '../oci/error.ts';
import { digestAlgorithm, digestOf, isDigest, parseDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type Tag } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { swarmError } from '../swarm/errors.ts';
import type { LinkMessage } from '../swarm/link/link-message.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import { asRecord } from './locate.ts';
import type { Peers } from './peers.ts';

export interface PeerManifestsDeps {
  readonly hub: ExchangeHub;
  readonly peers: Peers;
  readonly store: ManifestStore;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  /** Ends all work when the node stops. */
  readonly signal: AbortSignal;
}

type Answer = { value: unknown; bytes?: Uint8Array };

/** Homes to which a document is offered, and which are asked for it. */
const HOMES = 2;
/** Tags that peers told of; beyond it the oldest go. */
const MAX_OFFERED_TAGS = 10_000;
/** A tag said to be checked further in the future than this is not believed. */
const MAX_CLOCK_SKEW_MS = 60_000;

export class PeerManifestExchange {
  readonly #deps: PeerManifestsDeps;
  readonly #offered = new Map<string, StoredTag>();

  constructor(deps: PeerManifestsDeps) {
    this.#deps = deps;
    deps.hub.answer('manifest', async (_from, message) => await this.#onManifest(message));
    deps.hub.answer('tag', async (_from, message) => await this.#onTag(message));
    deps.hub.answer('offer-manifest', async (_from, message) => await this.#onOffer(message));
    deps.hub.answer('offer-tag', async (_from, message) => await Promise.resolve(this.#onOfferedTag(message)));
  }

  /** What the homes of a tag last heard; the freshest answer, or undefined. */
  async findTag(repository: Repository, tag: Tag, options: { signal: AbortSignal }): Promise<StoredTag | undefined> {
    const question = { upstream: repository.upstream, name: repository.name, tag };
    const answers = await this.#askHomes(tagKey(repository, tag), 'tag', question, options.signal);
    const found = answers.flatMap((answer) => parseStoredTag(answer.value) ?? []);
    const own = this.#offered.get(tagName(repository, tag));
    if (own !== undefined) found.push(own);
    return found.toSorted((a, b) => b.checkedAtMs - a.checkedAtMs)[0];
  }

  /** A manifest from its homes; the one who asks checks its digest. */
  async findManifest(
    _repository: Repository,
    digest: Digest,
    options: { signal: AbortSignal },
  ): Promise<{ mediaType: string; bytes: Buffer } | undefined> {
    for (const answer of await this.#askHomes(digest, 'manifest', { digest }, options.signal)) {
      const { mediaType } = asRecord(answer.value);
      if (typeof mediaType === 'string' && digestOf(answer.bytes, digestAlgorithm(digest)) === digest) {
        return { mediaType, bytes: answer.bytes };
      }
    }
    return undefined;
  }

  /** Offers a manifest to its homes. */
  async offerManifest(manifest: StoredManifest): Promise<void> {
    const { digest, mediaType } = manifest;
    for (const home of this.#homes(digest)) {
      const answer = await this.#ask(home, 'offer-manifest', { digest, mediaType }, undefined);
      if (answer === undefined || asRecord(answer.value)['wanted'] !== true) continue;
      await this.#ask(home, 'offer-manifest', { digest, mediaType }, manifest.bytes);
    }
  }

  /**
   * Gives a manifest to one member, if it lacks it.
   * @throws {DockyardError} ERR_LINK_TIMEOUT, ERR_LINK_FAILED, or what the member answers
   */
  async giveManifest(
    member: Parameters<Peers['ask']>[0],
    { digest, mediaType, bytes }: StoredManifest,
    options: { signal: AbortSignal; timeoutMs: number },
  ): Promise<void> {
    const { peers } = this.#deps;
    const answer = await peers.ask(member, 'offer-manifest', { digest, mediaType }, options);
    if (asRecord(answer.value)['wanted'] !== true) return;
    await peers.ask(member, 'offer-manifest', { digest, mediaType }, { ...options, bytes });
  }

  /** Offers what this node heard of a tag to the tag's homes. */
  async offerTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void> {
    const offer = { upstream: repository.upstream, name: repository.name, tag, ...stored };
    for (const home of this.#homes(tagKey(repository, tag))) await this.#ask(home, 'offer-tag', offer, undefined);
  }

  #homes(key: Digest): ReturnType<Peers['homes']> {
    const { peers } = this.#deps;
    return peers.homes(key, new Set(), HOMES).filter((home) => home.peerId !== peers.self.peerId);
  }

  async #ask(
    home: Parameters<Peers['ask']>[0],
    method: string,
    value: unknown,
    bytes: Uint8Array | undefined,
  ): Promise<LinkMessage | undefined> {
    try {
      const { signal } = this.#deps;
      return await this.#deps.peers.ask(home, method, value, bytes === undefined ? { signal } : { signal, bytes });
    } catch (thrown) {
      const error = asError(thrown);
      if (!isAbortError(error))
        this.#deps.log.debug({ err: error, home: home.peerId, method }, 'a home did not answer');
      return undefined;
    }
  }

  async #askHomes(key: Digest, method: string, value: unknown, signal: AbortSignal): Promise<LinkMessage[]> {
    const answers = await Promise.all(
      this.#homes(key).map(async (home) => {
        try {
          return await this.#deps.peers.ask(home, method, value, { signal });
        } catch (thrown) {
          this.#deps.log.debug({ err: asError(thrown), home: home.peerId, method }, 'a home did not answer');
          return undefined;
        }
      }),
    );
    return answers.filter((answer) => answer !== undefined);
  }

  async #onManifest(message: LinkMessage): Promise<Answer> {
    const { digest } = asRecord(message.value);
    const stored = await this.#deps.store.getManifest(parseDigest(typeof digest === 'string' ? digest : ''));
    return stored === undefined ? { value: {} } : { value: { mediaType: stored.mediaType }, bytes: stored.bytes };
  }

  async #onTag(message: LinkMessage): Promise<Answer> {
    const { repository, tag } = parseTagName(message.value);
    const own = await this.#deps.store.getTag(repository, tag);
    const offered = this.#offered.get(tagName(repository, tag));
    const freshest = offered !== undefined && offered.checkedAtMs > (own?.checkedAtMs ?? 0) ? offered : own;
    return { value: freshest ?? {} };
  }

  async #onOffer(message: LinkMessage): Promise<Answer> {
    const { digest, mediaType } = asRecord(message.value);
    const parsed = parseDigest(typeof digest === 'string' ? digest : '');
    if (message.bytes.length === 0)
      return { value: { wanted: (await this.#deps.store.getManifest(parsed)) === undefined } };
    if (typeof mediaType !== 'string' || mediaType.length > 255)
      throw swarmError('ERR_LINK_PROTOCOL', 'no media type is named');
    await this.#deps.store.putManifest({ digest: parsed, mediaType, bytes: message.bytes });
    return { value: { wanted: false } };
  }

  #onOfferedTag(message: LinkMessage): Answer {
    const { repository, tag } = parseTagName(message.value);
    const stored = parseStoredTag(message.value);
    if (stored === undefined || stored.checkedAtMs > this.#deps.clock.nowMs() + MAX_CLOCK_SKEW_MS) return { value: {} };
    const name = tagName(repository, tag);
    if ((this.#offered.get(name)?.checkedAtMs ?? 0) >= stored.checkedAtMs) return { value: {} };
    this.#offered.delete(name);
    this.#offered.set(name, stored);
    if (this.#offered.size > MAX_OFFERED_TAGS) {
      const oldest = this.#offered.keys().next().value;
      if (oldest !== undefined) this.#offered.delete(oldest);
    }
    return { value: {} };
  }
}

/** Offers to the homes whatever is put into the store below it. */
export class SharingManifestStore implements ManifestStore {
  readonly #below: ManifestStore;
  readonly #exchange: Pick<PeerManifestExchange, 'offerManifest' | 'offerTag'>;
  readonly #log: Logger;

  constructor(deps: {
    below: ManifestStore;
    exchange: Pick<PeerManifestExchange, 'offerManifest' | 'offerTag'>;
    log: Logger;
  }) {
    this.#below = deps.below;
    this.#exchange = deps.exchange;
    this.#log = deps.log;
  }

  async getManifest(digest: Digest): Promise<StoredManifest | undefined> {
    return await this.#below.getManifest(digest);
  }

  async putManifest(manifest: StoredManifest): Promise<void> {
    await this.#below.putManifest(manifest);
    this.#offer(this.#exchange.offerManifest(manifest));
  }

  async getTag(repository: Repository, tag: Tag): Promise<StoredTag | undefined> {
    return await this.#below.getTag(repository, tag);
  }

  async putTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void> {
    await this.#below.putTag(repository, tag, stored);
    this.#offer(this.#exchange.offerTag(repository, tag, stored));
  }

  async removeTag(repository: Repository, tag: Tag): Promise<void> {
    await this.#below.removeTag(repository, tag);
  }

  async close(): Promise<void> {
    await this.#below.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Nobody waits for it, and a failure costs only that peers may not find the document. */
  #offer(offering: Promise<void>): void {
    offering.catch((thrown: unknown) =>
      this.#log.debug({ err: asError(thrown) }, 'a document could not be offered to its homes'),
    );
  }
}

function tagName(repository: Repository, tag: Tag): string {
  return `${formatRepository(repository)}:${tag}`;
}

/** Where a tag is at home: a digest made of its name. */
function tagKey(repository: Repository, tag: Tag): Digest {
  return digestOf(Buffer.from(`tag\0${tagName(repository, tag)}`));
}

function parseTagName(value: unknown): { repository: Repository; tag: Tag } {
  const { upstream, name, tag } = asRecord(value);
  const isNamed =
    typeof upstream === 'string' && upstream.length <= 255 && typeof name === 'string' && isRepositoryName(name);
  if (!isNamed || typeof tag !== 'string' || !isTag(tag)) throw swarmError('ERR_LINK_PROTOCOL', 'no tag is named');
  return { repository: { upstream, name }, tag };
}

function parseStoredTag(value: unknown): StoredTag | undefined {
  const { digest, mediaType, sizeBytes, checkedAtMs } = asRecord(value);
  const isComplete =
    typeof digest === 'string' &&
    isDigest(digest) &&
    typeof mediaType === 'string' &&
    typeof sizeBytes === 'number' &&
    typeof checkedAtMs === 'number';
  return isComplete ? { digest, mediaType, sizeBytes, checkedAtMs } : undefined;
}
