/**
 * Tells the trackers of all torrents of an engine, and hears of peers from them. Not webtorrent's client, for which a tracker
 * that breaks off an answer ends the thread, and which cannot prove to a closed tracker that a member announces: see
 * docs/decisions/0012-torrent-engine.md. All trackers of a torrent are told, whatever their tier.
 */
import { TrackerSession, type AnnouncedTorrent, type TrackerSessionDeps } from './tracker-session.ts';
import { Turns } from './turns.ts';

/** Announces to one tracker that run at once: one that hangs keeps only its own waiting. */
const ANNOUNCES_AT_ONCE = 4;

/** Trackers of one torrent that are told; further ones of a stranger's torrent are left alone. */
const MAX_TRACKERS = 20;

/** At the end trackers are given this long to hear of it, all together: what they do not hear expires. */
const FAREWELL_MS = 2_000;

export type TrackerAnnouncerDeps = Omit<TrackerSessionDeps, 'turns'>;

/** Owned by one engine. Whoever makes it closes it. */
export class TrackerAnnouncer {
  readonly #deps: TrackerAnnouncerDeps;
  /** By info-hash and URL. */
  readonly #sessions = new Map<string, ReadonlyMap<string, TrackerSession>>();
  /** By both. The same torrent begins anew when its end was told, or the tracker would take it for ended. */
  readonly #farewells = new Map<string, Promise<void>>();
  readonly #turns = new Map<string, Turns>();
  readonly #silence = new AbortController();

  constructor(deps: TrackerAnnouncerDeps) {
    this.#deps = deps;
  }

  /** Announces a torrent until it is removed; false when it is announced already, which goes on as it is. */
  add(torrent: AnnouncedTorrent): boolean {
    const { infoHash, trackers } = torrent;
    if (this.#sessions.has(infoHash)) return false;
    const sessions = new Map<string, TrackerSession>();
    for (const url of [...new Set(trackers)].slice(0, MAX_TRACKERS)) {
      const after = this.#farewells.get(nameOf(infoHash, url)) ?? Promise.resolve();
      sessions.set(url, new TrackerSession({ ...this.#deps, turns: this.#turnsOf(url) }, torrent, url, after));
    }
    this.#sessions.set(infoHash, sessions);
    return true;
  }

  /** Tells that a download is complete. */
  complete(infoHash: string): void {
    for (const session of this.#sessions.get(infoHash)?.values() ?? []) session.complete();
  }

  /** Asks for the peers of all torrents again: who knew them is gone. */
  announceNow(): void {
    for (const sessions of this.#sessions.values()) for (const session of sessions.values()) session.announceNow();
  }

  /** Ends announcing a torrent; its trackers are told in the background. */
  remove(infoHash: string): void {
    const sessions = this.#sessions.get(infoHash) ?? new Map<string, TrackerSession>();
    this.#sessions.delete(infoHash);
    for (const [url, session] of sessions) {
      const name = nameOf(infoHash, url);
      const farewell = session.end(this.#silence.signal).finally(() => {
        if (this.#farewells.get(name) === farewell) this.#farewells.delete(name);
      });
      this.#farewells.set(name, farewell);
    }
  }

  /** Ends all, and tells trackers as far as that is quick. Idempotent. */
  async close(): Promise<void> {
    for (const infoHash of [...this.#sessions.keys()]) this.remove(infoHash);
    const timer = setTimeout(() => this.#silence.abort(), FAREWELL_MS);
    await Promise.all(this.#farewells.values());
    clearTimeout(timer);
  }

  #turnsOf(url: string): Turns {
    const host = URL.parse(url)?.host ?? url;
    const turns = this.#turns.get(host) ?? new Turns(ANNOUNCES_AT_ONCE);
    this.#turns.set(host, turns);
    return turns;
  }
}

function nameOf(infoHash: string, url: string): string {
  return `${infoHash} ${url}`;
}
