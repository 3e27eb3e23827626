/**
 * What this node answers as a home: who takes part in a blob; and, when nobody does, it begins to read the origin itself, so
 * that each byte leaves the origin about once. Every node answers whoever asks: that two think themselves home costs a
 * second read, nothing else.
 */
import type { BlobStore, HeldBlob } from '../content/blob-store.ts';
import { MAX_PIECE_SIZE_BYTES } from '../content/geometry.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { PeerId } from '../swarm/member.ts';
import { swarmError } from '../swarm/errors.ts';
import type { LinkMessage } from '../swarm/link/link-message.ts';
import type { LinkIdentity } from '../swarm/link/handshake.ts';
import { isCrowded } from './crowding.ts';
import { transferError } from './errors.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import { asRecord, parseLocateQuestion, type LocateAnswer, type LocateQuestion } from './locate.ts';
import { parseLendQuestion, type LendQuestion } from './lend.ts';
import { chooseNear } from './nearness.ts';
import type { Peers } from './peers.ts';
import type { Rendezvous } from './rendezvous.ts';
import type { SmallBlobs } from './small-blobs.ts';
import { encodeStatement, makeStatement } from './statement.ts';

export interface HomeDeskDeps {
  readonly identity: LinkIdentity;
  readonly hub: ExchangeHub;
  readonly store: BlobStore;
  readonly peers: Peers;
  readonly rendezvous: Rendezvous;
  readonly nowMs: () => number;
  /** Begins to fetch a blob on behalf of others. */
  readonly begin: (question: LocateQuestion) => void;
  /** Reads a part of a blob that is being fetched here from the origin, on behalf of others. */
  readonly lend: (question: LendQuestion) => Promise<void>;
  /** Fetches a small blob on behalf of others. */
  readonly small: Pick<SmallBlobs, 'fetch'>;
}

export interface HomeDeskConfig {
  readonly inlineMaxBytes: number;
  readonly maxHolders: number;
  readonly askTimeoutMs: number;
}

/** Those who are named are chosen by place among so many times their number. */
const CHOICE_FACTOR = 4;

/** The answer of a home that knows nothing. */
const NOTHING: LocateAnswer = {
  sizeBytes: undefined,
  holders: [],
  inline: false,
  isComing: false,
  isCrowded: false,
};

/** Who waits longer for its turn under the upload rate has turned elsewhere. */
const MAX_TURN_MS = 60_000;

type Answer = { value: unknown; bytes?: Uint8Array };

export class HomeDesk {
  readonly #deps: HomeDeskDeps;
  readonly #config: HomeDeskConfig;

  constructor(deps: HomeDeskDeps, config: HomeDeskConfig) {
    this.#deps = deps;
    this.#config = config;
    deps.hub.answer('locate', async (from, message) => await this.#locate(from, parseLocateQuestion(message.value)));
    deps.hub.answer('announce', async (from, message) => await Promise.resolve(this.#announce(from, message)));
    deps.hub.answer('withdraw', async (from, message) => await Promise.resolve(this.#withdraw(from, message)));
    deps.hub.answer('read', async (_from, message) => await this.#read(message));
    deps.hub.answer('map', async (_from, message) => await this.#map(message));
    deps.hub.answer('lend', async (_from, message) => await this.#lend(message));
    deps.hub.answer('range', async (_from, message) => await this.#range(message));
  }

  async #locate(from: PeerId, question: LocateQuestion): Promise<Answer> {
    const { rendezvous, store, nowMs } = this.#deps;
    rendezvous.note(question.digest, from, false, nowMs());
    const stat = store.stat(question.digest);
    if (stat !== undefined && stat.sizeBytes <= this.#config.inlineMaxBytes) return await this.#inline(question.digest);
    const isSmall = question.sizeBytes !== undefined && question.sizeBytes <= this.#config.inlineMaxBytes;
    // Others who gather a small blob wait for this very answer: to name them would send each one to the origin.
    if (isSmall && stat === undefined && !question.isReading) return await this.#fetchSmall(question);
    const found = this.#holders(question.digest, from);
    if (found.holders.length > 0 || question.isReading) return this.#answer(question.digest, found);
    this.#deps.begin(question);
    return this.#answer(question.digest, this.#holders(question.digest, from));
  }

  async #fetchSmall(question: LocateQuestion): Promise<Answer> {
    // Answered before the one who asks loses patience, so that it can turn to the origin itself.
    const signal = AbortSignal.timeout(this.#config.askTimeoutMs * 0.8);
    // Not the size that the peer names: the work is shared with others, who must not be misled by it.
    const coming = this.#deps.small.fetch(
      { ...question, sizeBytes: this.#config.inlineMaxBytes, isForPeer: true },
      signal,
    );
    const bytes = await coming.catch((thrown: unknown) => {
      if (signal.aborted) return 'coming' as const;
      throw thrown;
    });
    if (bytes === 'coming') return { value: { ...NOTHING, isComing: true } };
    if (bytes === undefined) return this.#answer(question.digest, { holders: [] });
    this.#deps.hub.countSent(bytes.length);
    return { value: { ...NOTHING, sizeBytes: bytes.length, inline: true }, bytes };
  }

  #holders(digest: Digest, from: PeerId): Pick<LocateAnswer, 'holders'> & Partial<LocateAnswer> {
    const { hub, store, peers, rendezvous, nowMs } = this.#deps;
    const { maxHolders } = this.#config;
    const all = rendezvous.participants(digest, from, nowMs(), maxHolders * CHOICE_FACTOR);
    const nearnessOf = ({ peerId }: { peerId: PeerId }): number => peers.nearness(from, peerId);
    const holders = chooseNear(all, nearnessOf, maxHolders).flatMap(({ peerId }) =>
      peerId === peers.self.peerId ? [] : (peers.addressOf(peerId) ?? []),
    );
    const takesPart = store.stat(digest) !== undefined || hub.get(digest) !== undefined;
    if (!takesPart) return { holders };
    const hasEnough = isCrowded(hub.get(digest)?.channels.size ?? 0, maxHolders);
    if (hasEnough && holders.length > 0) return { holders, isCrowded: true };
    return { holders: [{ peerId: peers.self.peerId, addresses: peers.self.dataAddresses }, ...holders] };
  }

  #answer(digest: Digest, found: Pick<LocateAnswer, 'holders'> & Partial<LocateAnswer>): Answer {
    const sizeBytes = this.#deps.store.stat(digest)?.sizeBytes ?? this.#deps.hub.get(digest)?.geometry?.sizeBytes;
    return { value: { ...NOTHING, sizeBytes, ...found } };
  }

  async #inline(digest: Digest): Promise<Answer> {
    const bytes = await this.#readWhole(digest);
    if (bytes === undefined) return this.#answer(digest, { holders: [] });
    // A journey, which began without knowing that the blob is small, has no use for the bytes; it is to come to this node.
    const { peerId, dataAddresses } = this.#deps.peers.self;
    const holders = [{ peerId, addresses: dataAddresses }];
    return { value: { ...NOTHING, sizeBytes: bytes.length, inline: true, holders }, bytes };
  }

  #announce(from: PeerId, message: LinkMessage): Answer {
    const nowMs = this.#deps.nowMs();
    for (const digest of digestsIn(message)) this.#deps.rendezvous.note(digest, from, true, nowMs);
    return { value: {} };
  }

  #withdraw(from: PeerId, message: LinkMessage): Answer {
    for (const digest of digestsIn(message)) this.#deps.rendezvous.withdraw(digest, from);
    return { value: {} };
  }

  async #lend(message: LinkMessage): Promise<Answer> {
    await this.#deps.lend(parseLendQuestion(message.value));
    return { value: {} };
  }

  async #read(message: LinkMessage): Promise<Answer> {
    const bytes = await this.#readWhole(digestIn(message));
    return bytes === undefined ? { value: { held: false } } : { value: { held: true }, bytes };
  }

  /** The piece map of a blob that is held, for one who cannot keep pieces and so takes no part in the exchange. */
  async #map(message: LinkMessage): Promise<Answer> {
    const digest = digestIn(message);
    await using held = await this.#open(digest);
    const { sizeBytes } = held.geometry;
    const statement = makeStatement(this.#deps.identity, { digest, sizeBytes }, 0, await held.pieceHashes());
    return { value: {}, bytes: encodeStatement(0, statement) };
  }

  async #range(message: LinkMessage): Promise<Answer> {
    const { start, end } = asRecord(message.value);
    await using held = await this.#open(digestIn(message));
    const isRange =
      Number.isSafeInteger(start) && Number.isSafeInteger(end) && typeof start === 'number' && typeof end === 'number';
    if (!isRange || start < 0 || end <= start || end > held.geometry.sizeBytes || end - start > MAX_PIECE_SIZE_BYTES) {
      throw swarmError('ERR_LINK_PROTOCOL', 'a range is asked for that makes no sense');
    }
    // Before it is read, so that what waits for its turn takes no memory.
    await this.#deps.hub.sendInTurn(end - start, AbortSignal.timeout(MAX_TURN_MS));
    return { value: {}, bytes: await held.read({ start, end }) };
  }

  async #open(digest: Digest): Promise<HeldBlob> {
    const held = await this.#deps.store.open(digest);
    if (held === undefined) throw transferError('ERR_TRANSFER_UNAVAILABLE', `${digest} is not held here`);
    return held;
  }

  async #readWhole(digest: Digest): Promise<Buffer | undefined> {
    const stat = this.#deps.store.stat(digest);
    if (stat === undefined || stat.sizeBytes > this.#config.inlineMaxBytes) return undefined;
    await using held = await this.#deps.store.open(digest);
    if (held === undefined) return undefined;
    try {
      const chunks = await Array.fromAsync(held.stream({ start: 0, end: stat.sizeBytes }));
      this.#deps.hub.countSent(stat.sizeBytes);
      return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    } catch (error) {
      // Whoever asks would take this node for a liar.
      if (!isDockyardError(error, 'ERR_BLOB_DAMAGED')) throw error;
      return undefined;
    }
  }
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
function digestIn(message: LinkMessage): Digest {
  const { digest } = asRecord(message.value);
  if (typeof digest === 'string' && isDigest(digest)) return digest;
  throw swarmError('ERR_LINK_PROTOCOL', 'no digest is named');
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
function digestsIn(message: LinkMessage): Digest[] {
  const { digests } = asRecord(message.value);
  if (!Array.isArray(digests)) throw swarmError('ERR_LINK_PROTOCOL', 'no digests are named');
  return digests.filter((digest): digest is Digest => typeof digest === 'string' && isDigest(digest));
}
