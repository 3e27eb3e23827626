/**
 * Who has announced what: all torrents with their peers, in memory, bounded. Peers expire; a torrent without peers is
 * forgotten at the next sweep.
 */
import { Refusal, type Announce, type AnnounceAnswer, type ScrapeAnswer } from './announce.ts';
import { PeerList } from './peer-list.ts';

/** Peers of one torrent. */
export interface TorrentPeers {
  v4: PeerList;
  /** Made when the first is needed: most torrents have none. */
  v6: PeerList | undefined;
  /** Completions that were told. */
  downloaded: number;
}

export interface PeerTableConfig {
  readonly maxTorrents: number;
  readonly maxPeers: number;
  /** How long a peer is kept after its last announce. */
  readonly peerTtlMs: number;
}

export interface PeerTableDeps {
  readonly nowMs: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Numbers for an operator. */
export interface PeerTableStats {
  readonly torrents: number;
  /** Peers that hold all of a torrent, and peers that do not; one counts once for each torrent. */
  readonly complete: number;
  readonly incomplete: number;
}

/** The table. */
export class PeerTable {
  readonly #deps: PeerTableDeps;
  readonly #config: PeerTableConfig;
  readonly #torrents = new Map<string, TorrentPeers>();
  #peers = 0;
  #complete = 0;
  #changes = 0;
  #announces = 0;

  constructor(deps: PeerTableDeps, config: PeerTableConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Grows with every peer that comes, goes or completes a torrent. */
  get changes(): number {
    return this.#changes;
  }

  /** Announces that were taken. */
  get announces(): number {
    return this.#announces;
  }

  stats(): PeerTableStats {
    return {
      torrents: this.#torrents.size,
      complete: this.#complete,
      incomplete: this.#peers - this.#complete,
    };
  }

  has(infoHash: string): boolean {
    return this.#torrents.has(infoHash);
  }

  /** Info-hashes in the order in which they came, with their peers. */
  entries(): IterableIterator<[string, TorrentPeers]> {
    return this.#torrents.entries();
  }

  /** Notes an announce and answers it. @throws {Refusal} full */
  announce(announce: Announce): AnnounceAnswer {
    this.#announces += 1;
    const { infoHash, event, address } = announce;
    const torrent = this.#torrents.get(infoHash);
    if (event === 'stopped') {
      if (torrent !== undefined) this.#counting(torrent, () => void listOf(torrent, address)?.remove(address));
      return answerOf(torrent, [], []);
    }
    const joined = torrent ?? this.#add(infoHash);
    const asker = { address, isComplete: announce.isComplete };
    this.#put(joined, announce);
    const choose = (list: PeerList | undefined): ReturnType<PeerList['choose']> =>
      list?.choose(announce.wantedPeers, asker, this.#deps.random) ?? [];
    return answerOf(joined, choose(joined.v4), choose(joined.v6));
  }

  /** `undefined` for a torrent that nobody has announced. */
  scrape(infoHash: string): ScrapeAnswer | undefined {
    const torrent = this.#torrents.get(infoHash);
    if (torrent === undefined) return undefined;
    const { complete, incomplete } = countsOf(torrent);
    return { complete, incomplete, downloaded: torrent.downloaded };
  }

  /** Forgets a torrent and its peers. */
  forget(infoHash: string): void {
    const torrent = this.#torrents.get(infoHash);
    if (torrent === undefined) return;
    const { complete, incomplete } = countsOf(torrent);
    this.#torrents.delete(infoHash);
    this.#peers -= complete + incomplete;
    this.#complete -= complete;
    this.#changes += 1;
  }

  /** Puts back what was kept of a torrent, as far as there is room and its peers are not too old. */
  restore(infoHash: string, torrent: TorrentPeers): void {
    if (this.#torrents.has(infoHash) || this.#torrents.size >= this.#config.maxTorrents) return;
    this.#expireOf(torrent);
    const { complete, incomplete } = countsOf(torrent);
    if (complete + incomplete === 0 || this.#peers + complete + incomplete > this.#config.maxPeers) return;
    this.#torrents.set(infoHash, torrent);
    this.#peers += complete + incomplete;
    this.#complete += complete;
  }

  /** Forgets peers whose time is over, and torrents without peers. Lets others run now and then. */
  async sweep(pause: () => Promise<void>): Promise<void> {
    let looked = 0;
    for (const [infoHash, torrent] of this.#torrents) {
      this.#counting(torrent, () => this.#expireOf(torrent));
      const { complete, incomplete } = countsOf(torrent);
      if (complete + incomplete === 0) this.#torrents.delete(infoHash);
      looked += 1 + complete + incomplete;
      if (looked < SWEPT_AT_ONCE) continue;
      looked = 0;
      await pause();
    }
  }

  #add(infoHash: string): TorrentPeers {
    if (this.#torrents.size >= this.#config.maxTorrents)
      throw new Refusal('full', 'this tracker has no room for further torrents');
    const torrent = { v4: new PeerList(6), v6: undefined, downloaded: 0 };
    this.#torrents.set(infoHash, torrent);
    return torrent;
  }

  #put(torrent: TorrentPeers, { address, peerId, isComplete, event }: Announce): void {
    if (address.length === 18) torrent.v6 ??= new PeerList(18);
    const list = listOf(torrent, address);
    if (list === undefined) return;
    if (this.#peers >= this.#config.maxPeers && !list.has(address))
      throw new Refusal('full', 'this tracker has no room for further peers');
    const nowSeconds = Math.floor(this.#deps.nowMs() / 1000);
    this.#counting(torrent, () => {
      const change = list.put(address, peerId, isComplete, nowSeconds);
      if (event === 'completed' && change !== 'refreshed') torrent.downloaded += 1;
    });
  }

  /** Keeps the counts right over a change of one torrent. */
  #counting(torrent: TorrentPeers, change: () => void): void {
    const before = countsOf(torrent);
    change();
    const after = countsOf(torrent);
    const completeMore = after.complete - before.complete;
    const incompleteMore = after.incomplete - before.incomplete;
    this.#peers += completeMore + incompleteMore;
    this.#complete += completeMore;
    if (completeMore !== 0 || incompleteMore !== 0) this.#changes += 1;
  }

  #expireOf(torrent: TorrentPeers): void {
    const beforeSeconds = Math.floor((this.#deps.nowMs() - this.#config.peerTtlMs) / 1000);
    torrent.v4.expire(beforeSeconds);
    torrent.v6?.expire(beforeSeconds);
    if (torrent.v6?.size === 0) torrent.v6 = undefined;
  }
}

/** Torrents and peers that a sweep looks at before others may run. */
const SWEPT_AT_ONCE = 20_000;

function listOf(torrent: TorrentPeers, address: Buffer): PeerList | undefined {
  return address.length === 6 ? torrent.v4 : torrent.v6;
}

/** Seeders and leechers of a torrent. */
export function countsOf({ v4, v6 }: TorrentPeers): { readonly complete: number; readonly incomplete: number } {
  const complete = v4.complete + (v6?.complete ?? 0);
  return { complete, incomplete: v4.size + (v6?.size ?? 0) - complete };
}

function answerOf(
  torrent: TorrentPeers | undefined,
  peers: AnnounceAnswer['peers'],
  peers6: AnnounceAnswer['peers6'],
): AnnounceAnswer {
  const counts = torrent === undefined ? { complete: 0, incomplete: 0 } : countsOf(torrent);
  return { ...counts, peers, peers6 };
}
