/** What one blob's way here was like: for the log, for `dockyard status`, for whoever asks whether the swarm works. */
import type { Digest } from '../oci/digest.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';

/** A finished or running journey in figures. */
export interface PullReport {
  readonly digest: Digest;
  readonly repository: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  readonly outcome: 'running' | 'complete' | 'absent' | 'failed' | 'stopped';
  readonly sizeBytes: number | undefined;
  /** Verified pieces that were on disk when the journey began. */
  readonly localBytes: number;
  readonly peerBytes: number;
  readonly originBytes: number;
  /** Waited for holders that stalled, lied or went away. */
  readonly lostMs: number;
  readonly holderCount: number;
  readonly error: string | undefined;
}

/** Keeps the figures of one journey. */
export class PullRecorder {
  readonly #digest: Digest;
  readonly #repository: Repository;
  readonly #startedAtMs: number;
  readonly #holders = new Set<string>();
  #endedAtMs: number | undefined;
  #outcome: PullReport['outcome'] = 'running';
  #error: string | undefined;
  sizeBytes: number | undefined;
  localBytes = 0;
  peerBytes = 0;
  originBytes = 0;
  lostMs = 0;

  constructor(digest: Digest, repository: Repository, startedAtMs: number) {
    this.#digest = digest;
    this.#repository = repository;
    this.#startedAtMs = startedAtMs;
  }

  onPeerBytes(bytes: number, peerId: string): void {
    this.peerBytes += bytes;
    this.#holders.add(peerId);
  }

  end(outcome: PullReport['outcome'], atMs: number, error?: Error): void {
    if (this.#endedAtMs !== undefined) return;
    this.#endedAtMs = atMs;
    this.#outcome = outcome;
    this.#error = error?.message;
  }

  report(): PullReport {
    const { sizeBytes, localBytes, peerBytes, originBytes, lostMs } = this;
    return {
      digest: this.#digest,
      repository: formatRepository(this.#repository),
      startedAtMs: this.#startedAtMs,
      endedAtMs: this.#endedAtMs,
      outcome: this.#outcome,
      sizeBytes,
      localBytes,
      peerBytes,
      originBytes,
      lostMs,
      holderCount: this.#holders.size,
      error: this.#error,
    };
  }
}
