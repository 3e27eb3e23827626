/**
 * Who is home to a digest: the member on whom all agree, without asking, where others meet for a blob.
 *
 * Rendezvous hashing: every member gets a score from its own hash and the key's, and the highest score is home. Each of n
 * members is home to 1/n of all keys, and when a member goes, only its keys move, spread over all the rest. (Plain XOR
 * closeness, as in a DHT, is stable as well, but gives some members several times the keys of others.)
 * @see Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998
 */
import { hash } from 'node:crypto';
import { digestBytes, type Digest } from '../oci/digest.ts';
import type { Member } from './member.ts';

/** The score parts of a member: 64 bits of the SHA-256 of its peer id. */
interface MemberHash {
  readonly high: number;
  readonly low: number;
}

const hashesByMember = new WeakMap<Member, MemberHash>();

/** Scores are read for whole lists at once: two words for each member, in the list's order. */
const wordsByList = new WeakMap<readonly Member[], Uint32Array>();

/**
 * The `count` members closest to a key, the home first. All nodes that know the same members get the same answer.
 * @param key a digest, or its raw bytes
 * @param members a list that is not changed later: what is computed from it is kept with it
 */
export function rankHomes(key: Digest | Uint8Array, members: readonly Member[], count: number): Member[] {
  const keyHash = hash('sha256', typeof key === 'string' ? digestBytes(key) : key, 'buffer');
  const keyHigh = keyHash.readUInt32BE(0);
  const keyLow = keyHash.readUInt32BE(4);
  const words = wordsOf(members);
  const best = new TopScores(Math.min(count, members.length));
  for (let index = 0; index < members.length; index += 1) {
    const high = mixBits(at(words, 2 * index) ^ keyHigh);
    const low = mixBits(at(words, 2 * index + 1) ^ keyLow ^ high);
    best.offer(high * 2 ** 20 + (low >>> 12), index);
  }
  return best.indexes().flatMap((index) => members[index] ?? []);
}

/** The few highest of many scores, kept sorted by insertion: `count` is small, and most offers are below the last. */
class TopScores {
  readonly #count: number;
  readonly #kept: { score: number; index: number }[] = [];
  #lowest = -1;

  constructor(count: number) {
    this.#count = Math.max(0, count);
  }

  offer(score: number, index: number): void {
    if (this.#count === 0) return;
    const full = this.#kept.length >= this.#count;
    if (full && score <= this.#lowest) return;
    if (full) this.#kept.pop();
    let place = this.#kept.length;
    while (place > 0 && (this.#kept[place - 1]?.score ?? Infinity) < score) place -= 1;
    this.#kept.splice(place, 0, { score, index });
    if (this.#kept.length >= this.#count) this.#lowest = this.#kept.at(-1)?.score ?? -1;
  }

  indexes(): number[] {
    return this.#kept.map((entry) => entry.index);
  }
}

function wordsOf(members: readonly Member[]): Uint32Array {
  const known = wordsByList.get(members);
  if (known !== undefined && known.length === 2 * members.length) return known;
  const words = new Uint32Array(2 * members.length);
  members.forEach((member, index) => {
    const { high, low } = hashOf(member);
    words[2 * index] = high;
    words[2 * index + 1] = low;
  });
  wordsByList.set(members, words);
  return words;
}

function hashOf(member: Member): MemberHash {
  const known = hashesByMember.get(member);
  if (known !== undefined) return known;
  const bytes = hash('sha256', member.peerId, 'buffer');
  const made = { high: bytes.readUInt32BE(0), low: bytes.readUInt32BE(4) };
  hashesByMember.set(member, made);
  return made;
}

function at(words: Uint32Array, index: number): number {
  return words[index] ?? 0;
}

/**
 * A bijection of 32 bits in which every input bit turns every output bit with probability one half.
 * @see Appleby, MurmurHash3, fmix32
 */
export function mixBits(word: number): number {
  let mixed = word | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
