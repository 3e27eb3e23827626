/** A connection of a torrent client that says no more than hello, and tells what it hears. @see BEP 3, BEP 10 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { decodeBencode, encodeBencode, type BencodeValue } from '../../../src/bencode/bencode.ts';

const PROTOCOL = '\x13BitTorrent protocol';
const HANDSHAKE_BYTES = 68;

const EXTENDED = 20;

/** One connection, after the handshake. Ends with `await using`. */
export class RawPeer implements AsyncDisposable {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isShaken = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => (this.#received = Buffer.concat([this.#received, bytes])));
  }

  /** Connects to 127.0.0.1 and says hello, with the extension protocol. */
  static async connect(port: number, infoHash: string): Promise<RawPeer> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const peer = new RawPeer(socket);
    const reserved = Buffer.from([0, 0, 0, 0, 0, 0x10, 0, 0]);
    const id = Buffer.from('-XX0001-raw-raw-raw-');
    socket.write(Buffer.concat([Buffer.from(PROTOCOL, 'latin1'), reserved, Buffer.from(infoHash, 'hex'), id]));
    peer.#say(EXTENDED, Buffer.concat([Buffer.of(0), encodeBencode({ m: {} })]));
    return peer;
  }

  #say(type: number, payload: Uint8Array): void {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(payload.length + 1);
    head[4] = type;
    this.#socket.write(Buffer.concat([head, payload]));
  }

  /** The payload of the next message of a kind; other messages are passed over. */
  async #hear(type: number): Promise<Buffer> {
    for (;;) {
      const message = this.#take();
      if (message === undefined) await once(this.#socket, 'data');
      else if (message[0] === type) return message.subarray(1);
    }
  }

  /** What the other side says that it can. */
  async extensions(): Promise<BencodeValue | undefined> {
    const told = decodeBencode((await this.#hear(EXTENDED)).subarray(1));
    return told instanceof Map ? told.get('m') : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await Promise.resolve();
  }

  #take(): Buffer | undefined {
    if (!this.#isShaken && this.#received.length >= HANDSHAKE_BYTES) {
      this.#isShaken = true;
      this.#received = this.#received.subarray(HANDSHAKE_BYTES);
    }
    if (!this.#isShaken || this.#received.length < 4) return undefined;
    const end = 4 + this.#received.readUInt32BE();
    if (this.#received.length < end) return undefined;
    const message = this.#received.subarray(4, end);
    this.#received = this.#received.subarray(end);
    return message;
  }
}
