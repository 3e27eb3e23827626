/** Finding those who have a blob: its home first, since that is one round trip; DHT and trackers where the home knows nobody. */
import type { Logger } from 'pino';
import { asError, isAbortError } from '../oci/error.ts';
import { digestBytes, digestOf, type Digest } from '../oci/digest.ts';
import type { HolderDiscovery, Member, PeerId, SocketAddress } from '../swarm/member.ts';
import { formatLocateQuestion, parseLocateAnswer, type LocateQuestion } from './locate.ts';
import type { Peers } from './peers.ts';
import type { Rendezvous } from './rendezvous.ts';

/** A node that may have pieces; its peer id is unknown where a tracker named it. */
export interface FoundHolder {
  readonly peerId?: PeerId | undefined;
  readonly addresses: readonly SocketAddress[];
}

/** What the homes answered. */
export interface SearchOutcome {
  /** `reader`: nobody else reads the origin, so this node may. `follower`: the home does, or knows who has the blob. */
  readonly role: 'reader' | 'follower';
  /** The home that answered; undefined when it is this node, or none could be asked. */
  readonly home: PeerId | undefined;
  readonly sizeBytes: number | undefined;
  /** The whole of a small blob, not yet verified. */
  readonly inline: Buffer | undefined;
  readonly foundCount: number;
  /** The home fetches a small blob for whoever asks: it is to be asked again. */
  readonly isComing: boolean;
  /** The home takes part, and named others instead of itself. */
  readonly isCrowded: boolean;
}

/** What is known when no home could be asked. */
const NOBODY: SearchOutcome = {
  role: 'reader',
  home: undefined,
  sizeBytes: undefined,
  inline: undefined,
  foundCount: 0,
  isComing: false,
  isCrowded: false,
};

/** How homes are asked. */
export interface AskOptions {
  /** Who is not asked, and not named. */
  readonly except: ReadonlySet<PeerId>;
  /** Of those in this node's own table, only who has all of the blob. */
  readonly completeOnly?: boolean;
  readonly onHolder: (holder: FoundHolder) => void;
  /** A home was asked and did not answer. */
  readonly onSilent?: (home: PeerId) => void;
}

export interface HolderSearchDeps {
  readonly peers: Peers;
  readonly rendezvous: Rendezvous;
  readonly discoveries: readonly HolderDiscovery[];
  readonly nowMs: () => number;
  readonly log: Logger;
}

/** The key under which DHT and trackers know a blob: 32 bytes, whatever the digest's algorithm. */
export function discoveryKey(digest: Digest): Buffer {
  const bytes = digestBytes(digest);
  return bytes.length === 32 ? bytes : digestBytes(digestOf(bytes));
}

/** DHT and trackers are listened to for so long. */
const DISCOVERY_MS = 3000;

export class HolderSearch {
  readonly #deps: HolderSearchDeps;
  readonly #maxHolders: number;

  constructor(deps: HolderSearchDeps, config: { maxHolders: number }) {
    this.#deps = deps;
    this.#maxHolders = config.maxHolders;
  }

  /** Asks the homes, nearest first, until one answers. Holders are told as they become known. */
  async askHomes(question: LocateQuestion, options: AskOptions & { signal: AbortSignal }): Promise<SearchOutcome> {
    const { peers } = this.#deps;
    let isHome = false;
    for (const home of peers.homes(question.digest, options.except)) {
      if (home.peerId === peers.self.peerId) {
        const own = this.#ownTable(question.digest, options);
        if (own.foundCount > 0) return own;
        // Whoever was home before this node joined may know more; it is not to begin to read, since this node does.
        isHome = true;
        continue;
      }
      const outcome = await this.#askHome(home, isHome ? { ...question, isReading: true } : question, options);
      if (isHome) return { ...NOBODY, ...outcome, role: 'reader', home: undefined };
      if (outcome !== undefined) return outcome;
    }
    return NOBODY;
  }

  async #askHome(
    home: Member,
    question: LocateQuestion,
    options: AskOptions & { signal: AbortSignal },
  ): Promise<SearchOutcome | undefined> {
    const { peers, log } = this.#deps;
    try {
      const message = await peers.ask(home, 'locate', formatLocateQuestion(question), { signal: options.signal });
      const answer = parseLocateAnswer(message.value);
      const inline = answer.inline ? message.bytes : undefined;
      const holders = answer.holders.filter((holder) => !options.except.has(holder.peerId));
      for (const holder of holders) options.onHolder(holder);
      const role = holders.length > 0 || inline !== undefined ? 'follower' : 'reader';
      return {
        role,
        home: home.peerId,
        sizeBytes: answer.sizeBytes,
        inline,
        foundCount: holders.length,
        isComing: answer.isComing,
        isCrowded: answer.isCrowded,
      };
    } catch (thrown) {
      options.signal.throwIfAborted();
      options.onSilent?.(home.peerId);
      log.debug({ err: asError(thrown), home: home.peerId, digest: question.digest }, 'a home did not answer');
      return undefined;
    }
  }

  /** Asks DHT and trackers all at once; ends when they have, or after a few seconds. Answers how many were found. */
  async discover(digest: Digest, onHolder: (holder: FoundHolder) => void, signal: AbortSignal): Promise<number> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(DISCOVERY_MS)]);
    const key = discoveryKey(digest);
    const counts = await Promise.all(
      this.#deps.discoveries.map(async (discovery) => await this.#discoverBy(discovery, key, onHolder, bounded)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #discoverBy(
    discovery: HolderDiscovery,
    key: Uint8Array,
    onHolder: (holder: FoundHolder) => void,
    signal: AbortSignal,
  ): Promise<number> {
    let count = 0;
    try {
      for await (const found of discovery.find(key, { signal })) {
        if (found.peerId === this.#deps.peers.self.peerId) continue;
        const known = found.peerId === undefined ? undefined : this.#deps.peers.addressOf(found.peerId);
        const addresses = found.address === undefined ? (known?.addresses ?? []) : [found.address];
        if (addresses.length === 0) continue;
        onHolder({ peerId: found.peerId, addresses });
        count += 1;
        if (count >= this.#maxHolders) break;
      }
    } catch (thrown) {
      const error = asError(thrown);
      if (!isAbortError(error))
        this.#deps.log.debug({ err: error, source: discovery.name }, 'a search for holders failed');
    }
    return count;
  }

  #ownTable(digest: Digest, options: AskOptions): SearchOutcome {
    const { peers, rendezvous, nowMs } = this.#deps;
    let foundCount = 0;
    for (const { peerId, complete } of rendezvous.participants(digest, peers.self.peerId, nowMs(), this.#maxHolders)) {
      const isUseless = options.except.has(peerId) || (options.completeOnly === true && !complete);
      const holder = isUseless ? undefined : peers.addressOf(peerId);
      if (holder === undefined) continue;
      options.onHolder(holder);
      foundCount += 1;
    }
    return { ...NOBODY, foundCount };
  }
}
