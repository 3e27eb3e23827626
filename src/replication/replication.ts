/** Keeps the same images as other seeds: a follower for each, over one queue on disk, and what they are told of this seed. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Changes } from '../catalog/change-log.ts';
import { ContentIndex } from '../content/content-index.ts';
import { isAbortError } from '../oci/error.ts';
import type { Clock } from '../origin/clock.ts';
import type { ChangeIntake } from './change-intake.ts';
import { Follower, type FollowerConfig, type FollowerReport } from './follower.ts';
import type { PeerSeed } from './peer-seed.ts';
import { PendingChanges } from './pending-changes.ts';
import { ReplicationMetrics } from './replication-metrics.ts';

export interface ReplicationDeps {
  readonly changes: Changes;
  readonly intake: ChangeIntake;
  readonly peers: readonly PeerSeed[];
  readonly clock: Clock;
  /** A number from 0 to, and not including, 1. */
  readonly random: () => number;
  readonly metrics: Registry;
  readonly log: Logger;
}

export interface ReplicationConfig extends FollowerConfig {
  /** How long it is remembered that something was deleted. */
  readonly keepDeletionsMs: number;
}

const FORGET_EVERY_MS = 86_400_000;

/** Whoever opens it closes it. */
export class Replication implements AsyncDisposable {
  readonly #deps: ReplicationDeps;
  readonly #config: ReplicationConfig;
  readonly #index: ContentIndex;
  readonly #followers: readonly Follower[];
  readonly #ending = new AbortController();
  #forgetting: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(
    deps: ReplicationDeps,
    config: ReplicationConfig,
    index: ContentIndex,
    followers: readonly Follower[],
  ) {
    this.#deps = deps;
    this.#config = config;
    this.#index = index;
    this.#followers = followers;
  }

  /**
   * Opens the queue in `folder`, and goes on with what an earlier process left.
   * @throws {DockyardError} ERR_STORE_LOCKED, ERR_STORE_IO, ERR_STORE_FULL
   */
  static async open(folder: string, deps: ReplicationDeps, config: ReplicationConfig): Promise<Replication> {
    const { changes, clock, log, peers } = deps;
    await using opening = new AsyncDisposableStack();
    const index = opening.use(await ContentIndex.open(folder, log));
    const names = peers.map(({ name }) => name);
    await PendingChanges.forgetOthers(index, names);
    const queues = new Map<string, PendingChanges>();
    for (const name of names) queues.set(name, await PendingChanges.load(index, name, () => changes.place));
    const lastPlace = await PendingChanges.lastOwnPlace(index);
    if (lastPlace !== undefined && !changes.knows(lastPlace)) {
      log.warn(
        'the catalog is another one or was restored from a backup: all changes of other seeds are looked at again',
      );
      for (const queue of queues.values()) await queue.restart();
    }
    const metrics = new ReplicationMetrics(
      deps.metrics,
      () => queues,
      () => clock.nowMs(),
    );
    const followers: Follower[] = [];
    for (const peer of peers) {
      const pending = queues.get(peer.name);
      if (pending !== undefined)
        followers.push(new Follower({ ...deps, peer, pending, metrics, ownLog: changes.id }, config));
    }
    const replication = new Replication(deps, config, index, followers);
    for (const follower of followers) follower.start();
    replication.#forgetting = replication.#forgetOldDeletions();
    opening.move();
    return replication;
  }

  /** How it goes with each of the other seeds. */
  report(): FollowerReport[] {
    return this.#followers.map((follower) => follower.report());
  }

  /** Compares all that the other seeds have with what is here, as for a seed that is new. */
  compare(): void {
    for (const follower of this.#followers) follower.compare();
  }

  /** Ends; what was not made is made by the next process. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#ending.abort();
      await Promise.all([this.#forgetting, ...this.#followers.map(async (follower) => await follower.close())]);
      await this.#index.close();
    })();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #forgetOldDeletions(): Promise<void> {
    const { changes, clock, log } = this.#deps;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const count = await changes.forgetDeletions(clock.nowMs() - this.#config.keepDeletionsMs);
        if (count > 0) log.info({ count }, 'old deletions are remembered no longer');
        await clock.sleep(FORGET_EVERY_MS, { signal });
      } catch (error) {
        if (isAbortError(error)) return;
        log.warn({ err: error }, 'old deletions could not be forgotten');
        await clock.sleep(FORGET_EVERY_MS, { signal }).catch(() => undefined);
      }
    }
  }
}
