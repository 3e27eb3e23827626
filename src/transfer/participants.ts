/**
 * Those who take part in one blob, as its home knows them. Some are drawn, one is put aside, at a cost that does not grow with their
 * number: a home is asked by every node of a swarm, again and again.
 */
import type { PeerId } from '../swarm/member.ts';

/** One who takes part in a blob. */
export interface Participant {
  readonly peerId: PeerId;
  readonly complete: boolean;
}

interface Entry extends Participant {
  seenAtMs: number;
  /** Its place in its list. */
  at: number;
}

export class Participants {
  readonly #random: () => number;
  readonly #entries = new Map<PeerId, Entry>();
  // In no order.
  readonly #complete: Entry[] = [];
  readonly #gathering: Entry[] = [];

  /** @param random a number from 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A peer has all of the blob, or gathers it; who has all of it keeps it until it is removed. */
  note(peerId: PeerId, complete: boolean, nowMs: number): void {
    const known = this.#entries.get(peerId);
    if (known !== undefined && (known.complete || !complete)) {
      known.seenAtMs = nowMs;
      return;
    }
    this.remove(peerId);
    const list = complete ? this.#complete : this.#gathering;
    const entry = { peerId, complete, seenAtMs: nowMs, at: list.length };
    list.push(entry);
    this.#entries.set(peerId, entry);
  }

  remove(peerId: PeerId): void {
    const entry = this.#entries.get(peerId);
    if (entry === undefined) return;
    this.#entries.delete(peerId);
    const list = entry.complete ? this.#complete : this.#gathering;
    swap(list, entry.at, list.length - 1);
    list.pop();
  }

  /**
   * Removes somebody, but not `except`. Those who are gathering go first: the complete are worth more. Each is as likely as the
   * other, so that those who are left are an even sample.
   */
  removeOne(except: PeerId): void {
    const [dropped] = [...this.#draw(this.#gathering, 1, except, 0), ...this.#draw(this.#complete, 1, except, 0)];
    if (dropped !== undefined) this.remove(dropped.peerId);
  }

  /**
   * Some of them, complete ones first, `except` not among them. Half of the places are for those who gather, if there are any.
   * @param sinceMs who gathers and was not heard of since is forgotten
   */
  choose(count: number, except: PeerId, sinceMs: number): Participant[] {
    const gathering = this.#draw(this.#gathering, count, except, sinceMs);
    const completeCount = Math.max(Math.ceil(count / 2), count - gathering.length);
    const complete = this.#draw(this.#complete, completeCount, except, 0);
    return [...complete, ...gathering.slice(0, count - complete.length)];
  }

  /** So many of a list, each as likely as the other. */
  #draw(list: Entry[], count: number, except: PeerId, sinceMs: number): Entry[] {
    const drawn: Entry[] = [];
    for (let at = 0; at < list.length && drawn.length < count;) {
      const entry = swap(list, at, at + Math.floor(this.#random() * (list.length - at)));
      if (entry !== undefined && entry.seenAtMs < sinceMs) {
        this.remove(entry.peerId);
        continue;
      }
      if (entry !== undefined && entry.peerId !== except) drawn.push(entry);
      at += 1;
    }
    return drawn;
  }
}

/** Puts two of a list into each other's place; answers who is in the first one then. */
function swap(list: Entry[], at: number, other: number): Entry | undefined {
  const [a, b] = [list[at], list[other]];
  if (a === undefined || b === undefined) return a;
  list[at] = b;
  list[other] = a;
  a.at = other;
  b.at = at;
  return b;
}
