/** One torrent at one tracker: told that it begins, again and again while it lasts, and that it ends. */
import { asError } from '../oci/error.ts';
import { TimeLimit } from '../oci/time-limit.ts';
import type { TorrentAnnounce, TorrentAnnounceAnswer, TorrentTrackerClient } from './tracker-port.ts';
import type { Turns } from './turns.ts';

/** A torrent, as its trackers are told of it. */
export interface AnnouncedTorrent {
  /** 40 hexadecimal digits. */
  readonly infoHash: string;
  readonly trackers: readonly string[];
  /** How it stands now. */
  readonly counts: () => Pick<TorrentAnnounce, 'leftBytes' | 'sentBytes' | 'receivedBytes'>;
  /** Told addresses of peers, `host:port`; the same ones come again and again. */
  readonly onPeers: (peers: readonly string[]) => void;
  /** Told what went wrong; the tracker is asked again later. */
  readonly onWarning: (message: string) => void;
}

export interface TrackerSessionDeps {
  readonly client: TorrentTrackerClient;
  /** Announces to this tracker that may run at once. */
  readonly turns: Turns;
  /** Resolves after a time, or when the signal aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly peerId: Uint8Array;
  readonly port: () => number;
}

/** One tracker is given this long to answer. */
const ANNOUNCE_TIMEOUT_MS = 10_000;

/** Bounds of the interval that a tracker may ask for. */
const MIN_INTERVAL_MS = 5_000;
const MAX_INTERVAL_MS = 3_600_000;

/** A tracker that failed or refused is asked again after this time, doubling with each failure in a row. */
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 300_000;

const WANTED_PEERS = 50;

/** Begins when it is made. Whoever makes it ends it. */
export class TrackerSession {
  readonly #deps: TrackerSessionDeps;
  readonly #torrent: AnnouncedTorrent;
  readonly #url: string;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  /** `asked` when it may have heard of the torrent, though it did not say so. */
  #state: 'untold' | 'asked' | 'told' = 'untold';
  #isCompletionDue = false;
  #pauseMs = FIRST_PAUSE_MS;
  #waiting = new AbortController();
  #ended: Promise<void> | undefined;

  /** @param after what has to have ended before this begins */
  constructor(deps: TrackerSessionDeps, torrent: AnnouncedTorrent, url: string, after: Promise<void>) {
    this.#deps = deps;
    this.#torrent = torrent;
    this.#url = url;
    this.#running = this.#run(after);
  }

  /** Tells that the download is complete. */
  complete(): void {
    this.#isCompletionDue = true;
    this.announceNow();
  }

  /** Does not wait for the next time. */
  announceNow(): void {
    this.#waiting.abort();
  }

  /** Ends it, and tells the tracker, unless the signal aborts before. Idempotent; never fails. */
  async end(signal: AbortSignal): Promise<void> {
    this.#ended ??= this.#end(signal);
    await this.#ended;
  }

  async #end(signal: AbortSignal): Promise<void> {
    this.#ending.abort();
    await this.#running;
    if (this.#state === 'untold') return;
    try {
      await this.#say('stopped', signal);
    } catch (error) {
      this.#torrent.onWarning(asError(error).message);
    }
  }

  async #run(after: Promise<void>): Promise<void> {
    await after;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      this.#waiting = new AbortController();
      const waitMs = await this.#announce(signal);
      await this.#deps.wait(waitMs, AbortSignal.any([signal, this.#waiting.signal]));
    }
  }

  /** Answers when to announce again. */
  async #announce(signal: AbortSignal): Promise<number> {
    const wasTold = this.#state === 'told';
    const event = wasTold ? (this.#isCompletionDue ? 'completed' : 'update') : 'started';
    try {
      this.#state = wasTold ? 'told' : 'asked';
      const answer = await this.#say(event, signal);
      return this.#heed(answer, event);
    } catch (error) {
      // Whether it heard before it was interrupted is not known.
      if (signal.aborted) return 0;
      if (!wasTold) this.#state = 'untold';
      this.#torrent.onWarning(asError(error).message);
      return this.#nextPause();
    }
  }

  #heed(answer: TorrentAnnounceAnswer, event: TorrentAnnounce['event']): number {
    if (answer.kind === 'refusal') {
      // It may have taken the torrent before, and not know it any more.
      this.#state = 'untold';
      this.#torrent.onWarning(`the tracker ${this.#url} refused: ${answer.reason}`);
      return Math.max(Math.min(answer.retryAfterMs ?? 0, MAX_INTERVAL_MS), this.#nextPause());
    }
    this.#state = 'told';
    this.#pauseMs = FIRST_PAUSE_MS;
    if (event === 'completed') this.#isCompletionDue = false;
    if (answer.peers.length > 0) this.#torrent.onPeers(answer.peers);
    return this.#isCompletionDue ? 0 : Math.min(Math.max(answer.intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
  }

  #nextPause(): number {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
    return pauseMs;
  }

  async #say(event: TorrentAnnounce['event'], ending: AbortSignal): Promise<TorrentAnnounceAnswer> {
    const { client, turns, peerId, port } = this.#deps;
    return await turns.run(async () => {
      ending.throwIfAborted();
      const { infoHash, counts } = this.#torrent;
      const wantedPeers = event === 'stopped' ? 0 : WANTED_PEERS;
      const announce = { infoHash, peerId, port: port(), event, ...counts(), wantedPeers };
      using limit = new TimeLimit(ANNOUNCE_TIMEOUT_MS, ending);
      return await client.announce(this.#url, announce, limit);
    });
  }
}
