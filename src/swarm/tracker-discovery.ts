/**
 * Holders through BitTorrent trackers: the first 20 bytes of a blob's SHA-256 are the info-hash under which holders
 * announce the port of their data plane. All trackers are asked at once; one that fails is left alone for a while, so a
 * dead tracker costs nothing, and whoever reaches one tracker that a holder reaches too finds it: see decisions/0003.
 */
import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';
import { isAbortError } from '../oci/error.ts';
import { AnnounceQueue } from './announce-queue.ts';
import type { Clock } from './clock.ts';
import type { HolderDiscovery, MemberDirectory, SocketAddress } from './member.ts';
import { formatSocketAddress } from './socket-address.ts';
import { TrackerRefusal, type TrackerAnnounce, type TrackerAnswer } from './tracker-answer.ts';
import { announceToTracker, parseTrackerUrl } from './tracker-client.ts';

/** Blobs that this node announces at most; beyond, the one announced longest ago is dropped. */
const MAX_ANNOUNCED_KEYS = 1_024;

/** One tracker is given this long to answer. */
const ANNOUNCE_TIMEOUT_MS = 3_000;

/** Bounds of the interval that a tracker may ask for. */
const MIN_INTERVAL_MS = 30_000;
const MAX_INTERVAL_MS = 3_600_000;

/** A tracker that failed is left alone for so long, doubling with each failure in a row. */
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;

const WANTED_PEERS = 50;

/** At the end trackers are told about this many blobs at most, and given this long: records of the rest expire. */
const MAX_FAREWELLS = 64;
const FAREWELL_TIMEOUT_MS = 1_000;

export interface TrackerDiscoveryDeps {
  readonly members: Pick<MemberDirectory, 'self'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
  /** The proof by which a closed tracker lets an info-hash in; absent in a swarm without a key. */
  readonly prove?: ((infoHash: Uint8Array) => string) | undefined;
}

interface Tracker {
  readonly url: URL;
  failures: number;
  pausedUntilMs: number;
  hasRefused: boolean;
}

/** Whoever opens it closes it. */
export class TrackerDiscovery implements HolderDiscovery, AsyncDisposable {
  readonly name = 'tracker';
  readonly #deps: TrackerDiscoveryDeps;
  readonly #trackers: readonly Tracker[];
  readonly #peerId: Buffer;
  readonly #queue: AnnounceQueue;
  readonly #announces: Counter<'outcome'>;
  #closing: Promise<void> | undefined;

  /** @throws {DockyardError} ERR_TRACKER_FAILED when a URL is none of a tracker */
  constructor(deps: TrackerDiscoveryDeps, config: { readonly trackers: readonly string[] }) {
    this.#deps = deps;
    this.#trackers = config.trackers.map((text) => ({
      url: parseTrackerUrl(text),
      failures: 0,
      pausedUntilMs: 0,
      hasRefused: false,
    }));
    // Azureus style: two letters, a version; the rest tells nodes apart. @see BEP 20
    this.#peerId = Buffer.concat([
      Buffer.from('-DY0001-'),
      hash('sha256', deps.members.self.peerId, 'buffer').subarray(0, 12),
    ]);
    this.#announces = new Counter({
      name: 'dockyard_tracker_announces_total',
      help: 'Announces to BitTorrent trackers, by outcome.',
      labelNames: ['outcome'],
      registers: [deps.metrics],
    });
    this.#queue = new AnnounceQueue(
      { clock: deps.clock, announce: async (key, { signal, first }) => this.#announceHolding(key, first, signal) },
      { maxKeys: MAX_ANNOUNCED_KEYS, renewalMs: MAX_PAUSE_MS, concurrency: 4, spacingMs: 10 },
    );
  }

  /** Returns at once; trackers are told in the background, and again at the interval they ask for. */
  async announce(key: Uint8Array): Promise<void> {
    this.#queue.add(key);
  }

  async withdraw(key: Uint8Array): Promise<void> {
    if (this.#queue.remove(key))
      await this.#toldAll(this.#say(key, 'stopped', 0), AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS));
  }

  async *find(key: Uint8Array, options: { signal: AbortSignal }): AsyncGenerator<{ address: SocketAddress }> {
    const holding = this.#queue.has(key);
    const announce = this.#say(key, holding ? 'update' : 'started', 1);
    const told = new Set(this.#deps.members.self.dataAddresses.map(formatSocketAddress));
    try {
      for await (const answer of this.#answers(announce, options.signal)) {
        for (const address of answer.peers) {
          const text = formatSocketAddress(address);
          if (told.has(text)) continue;
          told.add(text);
          yield { address };
        }
      }
      options.signal.throwIfAborted();
    } finally {
      // Who only looked is no holder: whoever asks next is not to be sent here.
      if (!holding && !this.#queue.has(key))
        await this.#toldAll({ ...announce, event: 'stopped' }, AbortSignal.timeout(FAREWELL_TIMEOUT_MS));
    }
  }

  /** Tells trackers that this node is gone, as far as that is quick. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#stop();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #stop(): Promise<void> {
    const keys = this.#queue.announcedKeys().slice(0, MAX_FAREWELLS);
    await this.#queue.close();
    const signal = AbortSignal.timeout(FAREWELL_TIMEOUT_MS);
    await Promise.all(keys.map(async (key) => this.#toldAll(this.#say(key, 'stopped', 0), signal)));
  }

  /** Returns after how long the trackers want to hear of this blob again. */
  async #announceHolding(key: Uint8Array, first: boolean, signal: AbortSignal): Promise<number> {
    let intervalMs = MAX_INTERVAL_MS;
    let answers = 0;
    for await (const answer of this.#answers(this.#say(key, first ? 'started' : 'update', 0), signal)) {
      answers += 1;
      intervalMs = Math.min(intervalMs, Math.max(MIN_INTERVAL_MS, answer.intervalMs));
    }
    return answers === 0 ? MIN_INTERVAL_MS : intervalMs;
  }

  #say(key: Uint8Array, event: TrackerAnnounce['event'], leftBytes: number): TrackerAnnounce {
    const port = this.#deps.members.self.dataAddresses[0]?.port ?? 0;
    const infoHash = key.subarray(0, 20);
    const proof = this.#deps.prove?.(infoHash);
    return { infoHash, peerId: this.#peerId, port, event, leftBytes, wantedPeers: WANTED_PEERS, proof };
  }

  async #toldAll(announce: TrackerAnnounce, signal: AbortSignal): Promise<void> {
    for await (const answer of this.#answers(announce, signal)) {
      this.#deps.log.trace({ peers: answer.peers.length }, 'tracker heard that this node holds a blob no longer');
    }
  }

  /** The answers of all trackers that are not paused, as they come. */
  async *#answers(announce: TrackerAnnounce, signal: AbortSignal): AsyncGenerator<TrackerAnswer> {
    // A node whose data plane does not listen yet has nothing to tell.
    if (announce.port === 0) return;
    const nowMs = this.#deps.clock.nowMs();
    const asked = this.#trackers.filter((tracker) => tracker.pausedUntilMs <= nowMs);
    const waiting = new Map(asked.map((tracker) => [tracker, this.#ask(tracker, announce, signal)]));
    while (waiting.size > 0) {
      const { tracker, answer } = await Promise.race(waiting.values());
      waiting.delete(tracker);
      if (answer !== undefined) yield answer;
    }
  }

  async #ask(
    tracker: Tracker,
    announce: TrackerAnnounce,
    signal: AbortSignal,
  ): Promise<{ tracker: Tracker; answer?: TrackerAnswer }> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS)]);
      const answer = await announceToTracker(tracker.url, announce, { signal: limited });
      tracker.failures = 0;
      this.#announces.inc({ outcome: 'answered' });
      return { tracker, answer };
    } catch (error) {
      if (signal.aborted) return { tracker };
      const refusal = error instanceof Error && error.cause instanceof TrackerRefusal ? error.cause : undefined;
      this.#announces.inc({ outcome: refusal !== undefined ? 'refused' : isAbortError(error) ? 'timeout' : 'failed' });
      // A tracker that refuses one blob may take others, unless it says when to come again.
      if (refusal === undefined || refusal.retryAfterMs !== undefined)
        this.#pause(tracker, error, refusal?.retryAfterMs);
      else this.#noteRefusal(tracker, refusal);
      return { tracker };
    }
  }

  #noteRefusal(tracker: Tracker, refusal: TrackerRefusal): void {
    const facts = { tracker: tracker.url.host, err: refusal };
    if (tracker.hasRefused) this.#deps.log.debug(facts, 'tracker refused a blob again');
    else this.#deps.log.warn(facts, 'tracker refused a blob');
    tracker.hasRefused = true;
  }

  #pause(tracker: Tracker, error: unknown, askedMs = 0): void {
    const ownMs = Math.min(FIRST_PAUSE_MS * 2 ** tracker.failures, MAX_PAUSE_MS);
    const pauseMs = Math.max(ownMs, Math.min(askedMs, MAX_INTERVAL_MS));
    tracker.pausedUntilMs = this.#deps.clock.nowMs() + pauseMs;
    tracker.failures += 1;
    const facts = { tracker: tracker.url.host, pauseMs, err: error };
    if (tracker.failures === 1) this.#deps.log.warn(facts, 'tracker failed');
    else this.#deps.log.debug(facts, 'tracker failed again');
  }
}
