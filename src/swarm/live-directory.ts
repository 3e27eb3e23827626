/**
 * Who lives, for the layers above: the table's live members but those that were just reported unreachable. Kept in memory
 * as one list, made anew only after a change.
 */
import type { Member, PeerId } from './member.ts';
import { recordPeerId } from './members-record.ts';
import { isLive } from './members-update.ts';
import type { MemberTable } from './members.ts';

export class LiveDirectory {
  readonly #table: MemberTable;
  readonly #heldUntilMs = new Map<PeerId, number>();
  readonly #listeners = new Set<() => void>();
  #alive: { version: number; members: readonly Member[] } | undefined;

  constructor(table: MemberTable) {
    this.#table = table;
  }

  /** The same list as long as nothing changes. */
  alive(): readonly Member[] {
    if (this.#alive?.version === this.#table.version) return this.#alive.members;
    const members: Member[] = [];
    for (const entry of this.#table.entries()) {
      if (isLive(entry) && !this.#heldUntilMs.has(recordPeerId(entry.signed))) members.push(entry.signed.member);
    }
    this.#alive = { version: this.#table.version, members };
    return members;
  }

  /** A live member, those just reported included. */
  get(peerId: PeerId): Member | undefined {
    const entry = this.#table.get(peerId);
    return entry !== undefined && isLive(entry) ? entry.signed.member : undefined;
  }

  /** Leaves a member out until the given time. */
  hold(peerId: PeerId, untilMs: number): void {
    this.#heldUntilMs.set(peerId, untilMs);
    this.changed();
  }

  /** Takes back those whose time is over. */
  release(nowMs: number): void {
    const over = [...this.#heldUntilMs].filter(([, untilMs]) => nowMs >= untilMs);
    for (const [peerId] of over) this.#heldUntilMs.delete(peerId);
    if (over.length > 0) this.changed();
  }

  /** Tells all listeners that the list may have changed. */
  changed(): void {
    this.#alive = undefined;
    for (const listener of this.#listeners) listener();
  }

  /** Returns what ends the listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
