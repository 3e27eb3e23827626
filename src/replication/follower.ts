/**
 * Follows the changes of one other seed: reads them as they are made there, writes down those that are news, and makes them here,
 * a few at a time. What fails is repeated with growing pauses, and at once when the other seed answers again.
 */
import type { Logger } from 'pino';
import { asError, isAbortError, isDockyardError } from '../oci/error.ts';
import type { Clock } from '../origin/clock.ts';
import { backoffDelayMs, type BackoffBounds } from '../origin/retry-delay.ts';
import type { ChangeIntake } from './change-intake.ts';
import { MAX_PAGE } from './change-page.ts';
import { replicationError } from './errors.ts';
import type { PeerSeed } from './peer-seed.ts';
import type { FeedPosition, PendingChange, PendingChanges } from './pending-changes.ts';
import type { ReplicationMetrics } from './replication-metrics.ts';

export interface FollowerDeps {
  readonly peer: PeerSeed;
  readonly pending: PendingChanges;
  readonly intake: ChangeIntake;
  /** Names the catalog of this seed. */
  readonly ownLog: string;
  readonly clock: Clock;
  /** A number from 0 to, and not including, 1. */
  readonly random: () => number;
  readonly metrics: ReplicationMetrics;
  readonly log: Logger;
}

export interface FollowerConfig {
  /** How long a question may wait for news. */
  readonly waitMs: number;
}

/** How it goes with one other seed. */
export interface FollowerReport {
  readonly seed: string;
  readonly pendingCount: number;
  /** Those of them that failed. */
  readonly failingCount: number;
  readonly oldestPendingAtMs: number | undefined;
  /** Questions in a row that it did not answer. */
  readonly failuresInARow: number;
  /** The last failure, of a question or of a change. */
  readonly lastFailure: string | undefined;
  readonly lastFailureAtMs: number | undefined;
  /** When it last told how far its changes are. */
  readonly lastAnswerAtMs: number | undefined;
  /** True when all that it told so far was looked at. */
  readonly hasCaughtUp: boolean;
}

/** Changes that are made at once. */
const JOBS = 4;
/** With so many that wait nothing further is read: the other seed keeps them. */
const MAX_PENDING = 10_000;
const QUESTION_PAUSES: BackoffBounds = { baseMs: 500, mostMs: 30_000 };
const CHANGE_PAUSES: BackoffBounds = { baseMs: 500, mostMs: 600_000 };
/** Told when it begins to be an outage. */
const TELL_AFTER = 3;

/** Works from `start` to `close`. */
export class Follower {
  readonly #deps: FollowerDeps;
  readonly #config: FollowerConfig;
  readonly #ending = new AbortController();
  #work: Promise<unknown> = Promise.resolve();
  readonly #wakes = new Set<() => void>();
  #failuresInARow = 0;
  #failure: { readonly reason: string; readonly atMs: number } | undefined;
  #lastAnswerAtMs: number | undefined;
  #hasReadAll = false;
  #isToRestart = false;
  /** Ends the question that is under way. */
  #question = new AbortController();

  constructor(deps: FollowerDeps, config: FollowerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  start(): void {
    this.#work = Promise.all([this.#read(), ...Array.from({ length: JOBS }, async () => await this.#makeChanges())]);
  }

  /** Looks at all changes of the other seed again, from the first on. */
  compare(): void {
    this.#isToRestart = true;
    this.#hasReadAll = false;
    this.#question.abort();
    this.#wake();
  }

  report(): FollowerReport {
    const { peer, pending } = this.#deps;
    return {
      seed: peer.name,
      pendingCount: pending.count,
      failingCount: pending.failingCount,
      oldestPendingAtMs: pending.oldestSinceMs,
      failuresInARow: this.#failuresInARow,
      lastFailure: this.#failure?.reason,
      lastFailureAtMs: this.#failure?.atMs,
      lastAnswerAtMs: this.#lastAnswerAtMs,
      hasCaughtUp: this.#hasReadAll && pending.count === 0,
    };
  }

  /** Ends what is under way; whoever comes later makes it again. Idempotent. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#wake();
    await this.#work;
  }

  async #read(): Promise<void> {
    const { clock, metrics, peer, random } = this.#deps;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        await this.#readOnce(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#isToRestart && isAbortError(error)) continue;
        metrics.failure(peer.name, 'changes');
        this.#questionFailed(asError(error));
        const pauseMs = backoffDelayMs(this.#failuresInARow, random(), QUESTION_PAUSES);
        await clock.sleep(pauseMs, { signal }).catch(() => undefined);
      }
    }
  }

  async #readOnce(signal: AbortSignal): Promise<void> {
    const { clock, intake, ownLog, peer, pending } = this.#deps;
    if (this.#isToRestart) {
      this.#isToRestart = false;
      this.#question = new AbortController();
      await pending.restart();
    }
    if (pending.count >= MAX_PENDING) {
      await this.#news(signal);
      return;
    }
    const { position } = pending;
    const waitMs = this.#hasReadAll ? this.#config.waitMs : 0;
    const askedAtMs = clock.nowMs();
    const ended = AbortSignal.any([signal, this.#question.signal]);
    const page = await peer.changes(
      { after: position.number, chapter: position.chapter, limit: MAX_PAGE, waitMs },
      { signal: ended },
    );
    if (page.log === ownLog)
      throw replicationError(
        'ERR_REPLICATION_ITSELF',
        `replication.from names '${peer.name}', which is this seed itself`,
      );
    this.#answered();
    const isOther = page.log !== position.log || page.upTo < position.number;
    if (isOther && position.number > 0) {
      // Its catalog was made anew or restored, or another seed answers under its name.
      await pending.add([], { log: page.log, chapter: page.chapter, number: 0 }, 0);
      return;
    }
    const news = [];
    for (const change of page.changes) if (await intake.isNews(change)) news.push(change);
    const next: FeedPosition = { log: page.log, chapter: page.chapter, number: page.upTo };
    const isElsewhere =
      next.number !== position.number || next.log !== position.log || next.chapter !== position.chapter;
    if (news.length > 0 || isElsewhere) await pending.add(news, next, clock.nowMs());
    this.#hasReadAll = page.changes.length < MAX_PAGE && !this.#isToRestart;
    if (news.length > 0) this.#wake();
    // One that is about to stop lets nobody wait.
    if (page.upTo === position.number && clock.nowMs() - askedAtMs < waitMs / 2)
      await clock.sleep(QUESTION_PAUSES.baseMs, { signal });
  }

  #answered(): void {
    const { clock, log, peer, pending } = this.#deps;
    if (this.#failuresInARow >= TELL_AFTER) log.info({ seed: peer.name }, 'another seed answers again');
    if (this.#failuresInARow > 0) {
      pending.wakeAll();
      this.#wake();
    }
    this.#failuresInARow = 0;
    this.#lastAnswerAtMs = clock.nowMs();
  }

  #questionFailed(error: Error): void {
    const { log, peer } = this.#deps;
    this.#failuresInARow += 1;
    this.#hasReadAll = false;
    this.#noteFailure(error);
    const isForThePerson = isDockyardError(error) && error.code.startsWith('ERR_REPLICATION_');
    if (this.#failuresInARow === (isForThePerson ? 1 : TELL_AFTER))
      log.warn({ err: error, seed: peer.name }, 'another seed does not tell its changes');
  }

  async #makeChanges(): Promise<void> {
    const { clock, log, peer, pending } = this.#deps;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const next = pending.take(clock.nowMs());
      if (next === undefined) await this.#news(signal);
      else {
        try {
          await this.#makeChange(next, signal);
        } catch (error) {
          // The queue itself failed; the change is still in it, and is heard of again after a restart.
          log.error({ err: error, seed: peer.name }, 'changes of another seed cannot be kept');
        }
      }
    }
  }

  async #makeChange(next: PendingChange, signal: AbortSignal): Promise<void> {
    const { clock, intake, log, metrics, peer, pending, random } = this.#deps;
    const { repository, reference } = next.change;
    try {
      const outcome = await intake.take(next.change, peer, { signal });
      metrics.change(peer.name, outcome);
      log.debug({ seed: peer.name, repository, reference, outcome }, 'change of another seed');
    } catch (error) {
      const pauseMs = backoffDelayMs(next.failures + 1, random(), CHANGE_PAUSES);
      pending.failed(next, clock.nowMs() + pauseMs);
      this.#wake();
      if (signal.aborted && isAbortError(error)) return;
      metrics.failure(peer.name, 'change');
      this.#noteFailure(asError(error));
      const level = next.failures + 1 === TELL_AFTER ? 'warn' : 'debug';
      log[level]({ err: error, seed: peer.name, repository, reference }, 'change of another seed cannot be made');
      return;
    }
    await pending.done(next);
    this.#wake();
  }

  #noteFailure(error: Error): void {
    this.#failure = { reason: error.message, atMs: this.#deps.clock.nowMs() };
  }

  /** Resolves when there may be something to do: a change came or was made, or one has rested long enough. */
  async #news(signal: AbortSignal): Promise<void> {
    const { clock, pending } = this.#deps;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakes.add(resolve);
    const untilMs = pending.nextTryAtMs;
    const timer = untilMs === undefined ? undefined : setTimeout(resolve, Math.max(1, untilMs - clock.nowMs()));
    if (!signal.aborted) await promise;
    clearTimeout(timer);
    this.#wakes.delete(resolve);
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }
}
