/**
 * The peers of one torrent in one address family, packed into one buffer: an announce costs the same with ten peers and with
 * a hundred thousand, and a peer takes its 30 or 42 bytes. Those that hold all of the torrent stand in front of the others.
 *
 * A record: address and port as in compact answers (6 or 18 bytes), peer id (20), time of the last announce (4: seconds).
 */

/** Bytes of an address and port of each family. @see BEP 23, BEP 7 */
export type AddressBytes = 6 | 18;

const PEER_ID_BYTES = 20;
const SEEN_BYTES = 4;
const FIRST_CAPACITY = 4;

/** Up to so many records are looked through; more have an index, which costs more than the records themselves. */
const MAX_UNINDEXED = 16;

/** The name of an address within a list: 48 bits of IPv4, or the bytes of IPv6 as text. */
type AddressKey = number | string;

/** What an announce did to the list. */
export type PeerChange = 'added' | 'completed' | 'refreshed';

/** A peer as long answers show it. */
export interface ListedPeer {
  /** Address and port, packed. */
  readonly address: Buffer;
  readonly peerId: Buffer;
}

/** One list. Its records may be taken as they are to be kept on disk, and given back. */
export class PeerList {
  readonly #addressBytes: AddressBytes;
  readonly #recordBytes: number;
  #records: Buffer;
  #size = 0;
  #complete = 0;
  #slots: Map<AddressKey, number> | undefined;

  constructor(addressBytes: AddressBytes) {
    this.#addressBytes = addressBytes;
    this.#recordBytes = addressBytes + PEER_ID_BYTES + SEEN_BYTES;
    this.#records = Buffer.allocUnsafeSlow(FIRST_CAPACITY * this.#recordBytes);
  }

  get size(): number {
    return this.#size;
  }

  /** How many hold all of the torrent. */
  get complete(): number {
    return this.#complete;
  }

  has(address: Buffer): boolean {
    return this.#slotOf(address) !== -1;
  }

  /** Notes an announce. */
  put(address: Buffer, peerId: Uint8Array, isComplete: boolean, nowSeconds: number): PeerChange {
    let slot = this.#slotOf(address);
    const known = slot !== -1;
    if (!known) slot = this.#append(address);
    const wasComplete = slot < this.#complete;
    if (isComplete && !wasComplete) slot = this.#toFront(slot);
    else if (!isComplete && wasComplete) slot = this.#toBack(slot);
    const at = slot * this.#recordBytes + this.#addressBytes;
    this.#records.set(peerId.subarray(0, PEER_ID_BYTES), at);
    this.#records.writeUInt32BE(nowSeconds, at + PEER_ID_BYTES);
    if (!known) return 'added';
    return isComplete && !wasComplete ? 'completed' : 'refreshed';
  }

  /** False when the address was not there. */
  remove(address: Buffer): boolean {
    const slot = this.#slotOf(address);
    if (slot === -1) return false;
    this.#removeSlot(slot);
    return true;
  }

  /** Drops who has not announced since then; answers how many. */
  expire(beforeSeconds: number): number {
    const sizeBefore = this.#size;
    for (let slot = this.#size - 1; slot >= 0; slot -= 1)
      if (this.#seenAt(slot) < beforeSeconds) this.#removeSlot(slot);
    this.#fit();
    return sizeBefore - this.#size;
  }

  /** Some of the peers, each with the same chance, without the one that asks; who is complete needs nobody who is. */
  choose(
    wanted: number,
    asker: { readonly address: Buffer | undefined; readonly isComplete: boolean },
    random: () => number,
  ): ListedPeer[] {
    const own = asker.address === undefined ? -1 : this.#slotOf(asker.address);
    const lacking = this.#size - this.#complete;
    // Half of the answer is for those who have all of it, as far as there are enough: they alone can surely help.
    const fromComplete = asker.isComplete
      ? 0
      : Math.min(this.#complete, Math.max(wanted - lacking, Math.ceil(wanted / 2)));
    const ready = sampleSlots({ start: 0, end: this.#complete, without: own }, fromComplete, random);
    const others = { start: this.#complete, end: this.#size, without: own };
    return [...ready, ...sampleSlots(others, wanted - ready.length, random)].map((slot) => this.#peerAt(slot));
  }

  /** The records, those of complete peers first; valid until the list changes. */
  records(): Buffer {
    return this.#records.subarray(0, this.#size * this.#recordBytes);
  }

  /** A list from records that were kept; a rest that is no record is left out. */
  static fromRecords(addressBytes: AddressBytes, records: Buffer, complete: number): PeerList {
    const list = new PeerList(addressBytes);
    const size = Math.floor(records.length / list.#recordBytes);
    const peers = Array.from({ length: size }, (_, slot) => {
      const record = records.subarray(slot * list.#recordBytes, (slot + 1) * list.#recordBytes);
      return { record, isComplete: slot < complete };
    });
    for (const { record, isComplete } of peers) {
      const seenAt = record.readUInt32BE(addressBytes + PEER_ID_BYTES);
      const peerId = record.subarray(addressBytes, addressBytes + PEER_ID_BYTES);
      list.put(record.subarray(0, addressBytes), peerId, isComplete, seenAt);
    }
    return list;
  }

  #peerAt(slot: number): ListedPeer {
    const at = slot * this.#recordBytes;
    const peerIdAt = at + this.#addressBytes;
    return {
      address: this.#records.subarray(at, peerIdAt),
      peerId: this.#records.subarray(peerIdAt, peerIdAt + PEER_ID_BYTES),
    };
  }

  #seenAt(slot: number): number {
    return this.#records.readUInt32BE((slot + 1) * this.#recordBytes - SEEN_BYTES);
  }

  #keyAt(slot: number): AddressKey {
    const at = slot * this.#recordBytes;
    return keyOf(this.#records.subarray(at, at + this.#addressBytes));
  }

  #slotOf(address: Buffer): number {
    if (this.#slots !== undefined) return this.#slots.get(keyOf(address)) ?? -1;
    for (let slot = 0; slot < this.#size; slot += 1) {
      const at = slot * this.#recordBytes;
      if (address.compare(this.#records, at, at + this.#addressBytes) === 0) return slot;
    }
    return -1;
  }

  #append(address: Buffer): number {
    const slot = this.#size;
    if ((slot + 1) * this.#recordBytes > this.#records.length) this.#resize(slot * 2);
    this.#size += 1;
    address.copy(this.#records, slot * this.#recordBytes, 0, this.#addressBytes);
    if (this.#slots !== undefined) this.#slots.set(keyOf(address), slot);
    else if (this.#size > MAX_UNINDEXED) this.#index();
    return slot;
  }

  #index(): void {
    this.#slots = new Map();
    for (let slot = 0; slot < this.#size; slot += 1) this.#slots.set(this.#keyAt(slot), slot);
  }

  #toFront(slot: number): number {
    this.#swap(slot, this.#complete);
    this.#complete += 1;
    return this.#complete - 1;
  }

  #toBack(slot: number): number {
    this.#complete -= 1;
    this.#swap(slot, this.#complete);
    return this.#complete;
  }

  #swap(one: number, other: number): void {
    if (one === other) return;
    const [oneAt, otherAt] = [one * this.#recordBytes, other * this.#recordBytes];
    const kept = Buffer.from(this.#records.subarray(oneAt, oneAt + this.#recordBytes));
    this.#records.copyWithin(oneAt, otherAt, otherAt + this.#recordBytes);
    this.#records.set(kept, otherAt);
    this.#slots?.set(this.#keyAt(one), one).set(this.#keyAt(other), other);
  }

  #removeSlot(slot: number): void {
    this.#slots?.delete(this.#keyAt(slot));
    let hole = slot;
    if (hole < this.#complete) {
      this.#complete -= 1;
      this.#move(this.#complete, hole);
      hole = this.#complete;
    }
    this.#size -= 1;
    this.#move(this.#size, hole);
  }

  #move(from: number, to: number): void {
    if (from === to) return;
    const at = from * this.#recordBytes;
    this.#records.copyWithin(to * this.#recordBytes, at, at + this.#recordBytes);
    this.#slots?.set(this.#keyAt(to), to);
  }

  /** Gives back memory when most of it is unused. */
  #fit(): void {
    const capacity = this.#records.length / this.#recordBytes;
    if (this.#size <= MAX_UNINDEXED / 2) this.#slots = undefined;
    if (capacity > FIRST_CAPACITY && this.#size < capacity / 4) this.#resize(Math.max(FIRST_CAPACITY, this.#size * 2));
  }

  #resize(capacity: number): void {
    const records = Buffer.allocUnsafeSlow(capacity * this.#recordBytes);
    this.#records.copy(records, 0, 0, this.#size * this.#recordBytes);
    this.#records = records;
  }
}

function keyOf(address: Buffer): AddressKey {
  if (address.length === 6) return address.readUIntBE(0, 6);
  return address.toString('latin1');
}

/** Different slots of a range, at random: one of each of as many equal parts. */
function sampleSlots(
  range: { readonly start: number; readonly end: number; readonly without: number },
  count: number,
  random: () => number,
): number[] {
  const { start, end, without } = range;
  const length = end - start;
  const parts = Math.min(length, without >= start && without < end ? count + 1 : count);
  const slots: number[] = [];
  for (let part = 0; part < parts && slots.length < count; part += 1) {
    const from = Math.floor((part * length) / parts);
    const to = Math.floor(((part + 1) * length) / parts);
    const slot = start + from + Math.floor(random() * (to - from));
    if (slot !== without) slots.push(slot);
  }
  return slots;
}
