/**
 * What a peer asked for and has not been given. Webtorrent reads every block as soon as it is asked for, and keeps it until
 * the peer has taken it: a hundred thousand questions are two megabytes, their answers many gigabytes. Here so much is
 * answered as the peer takes, and the questions beyond that wait, which costs next to nothing.
 */
import type { PeerWire } from 'webtorrent';

/** Answers under way to one peer, read or being read, beyond which its questions wait. */
export const MAX_ANSWERS_BYTES = 2 * 1024 * 1024;

/** Blocks that are being read for one peer. */
const MAX_READS = 128;

/** Questions of one peer that wait. Fast clients ask for what comes in some seconds; no honest one asks for more. */
export const MAX_QUESTIONS = 65_536;

/** How many may be asked at once, as peers that look for it are told. @see BEP 10, `reqq` */
export const TOLD_QUESTIONS = 2000;

/** What webtorrent has of a connection, as far as its questions go. */
export type AskedSide = Pick<PeerWire, 'amChoking' | 'peerRequests' | '_onRequest' | '_onCancel' | 'choke' | 'destroy'>;

/** Stands between a peer's questions and webtorrent. */
export class AnswerQueue {
  readonly #wire: AskedSide;
  readonly #unsentBytes: () => number;
  readonly #ask: AskedSide['_onRequest'];
  /** In the order in which they came. */
  readonly #waiting = new Map<string, readonly [index: number, offset: number, length: number]>();
  #isGoingOn = false;

  /** @param unsentBytes what was given to the connection and has not left it */
  constructor(wire: AskedSide, unsentBytes: () => number) {
    this.#wire = wire;
    this.#unsentBytes = unsentBytes;
    this.#ask = wire._onRequest.bind(wire);
    const cancel = wire._onCancel.bind(wire);
    const choke = wire.choke.bind(wire);
    wire._onRequest = (index, offset, length) => this.#onRequest(index, offset, length);
    wire._onCancel = (index, offset, length) => {
      if (!this.#waiting.delete(keyOf(index, offset, length))) cancel(index, offset, length);
    };
    wire.choke = () => {
      choke();
      this.goOn();
    };
  }

  /** To be called when something has left the connection. */
  goOn(): void {
    // Answers that are at hand come back to here.
    if (this.#isGoingOn) return;
    this.#isGoingOn = true;
    try {
      for (const [key, question] of this.#waiting) {
        // Who is choked is refused everything, which webtorrent does.
        if (!this.#wire.amChoking && !this.#hasRoom()) return;
        this.#waiting.delete(key);
        this.#ask(...question);
      }
    } finally {
      this.#isGoingOn = false;
    }
  }

  #onRequest(index: number, offset: number, length: number): void {
    if (this.#waiting.size >= MAX_QUESTIONS) {
      this.#waiting.clear();
      this.#wire.destroy();
      return;
    }
    this.#waiting.set(keyOf(index, offset, length), [index, offset, length]);
    this.goOn();
  }

  #hasRoom(): boolean {
    const { peerRequests } = this.#wire;
    if (peerRequests.length >= MAX_READS) return false;
    const readingBytes = peerRequests.reduce((sum, { length }) => sum + length, 0);
    return readingBytes + this.#unsentBytes() < MAX_ANSWERS_BYTES;
  }
}

function keyOf(index: number, offset: number, length: number): string {
  return `${index} ${offset} ${length}`;
}
