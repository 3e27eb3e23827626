/** A connection of a torrent client that says what it is told to say, and tells what it hears. @see BEP 3, BEP 10, BEP 11 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { decodeBencode, encodeBencode, type BencodeValue } from '../../../src/bencode/bencode.ts';

const PROTOCOL = '\x13BitTorrent protocol';
const HANDSHAKE_BYTES = 68;

const UNCHOKE = 1;
const INTERESTED = 2;
const BITFIELD = 5;
const REQUEST = 6;
const PIECE = 7;
const EXTENDED = 20;

/** What it calls messages of peer exchange; any number but 0 does. */
const PEX = 1;

/** A block that is asked for: which piece, from where in it, how many bytes. */
export type Block = readonly [index: number, offsetBytes: number, sizeBytes: number];

/** One connection, after the handshake. Ends with `await using`. */
export class RawPeer implements AsyncDisposable {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isShaken = false;
  readonly #heard: number[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => (this.#received = Buffer.concat([this.#received, bytes])));
  }

  /**
   * Connects to 127.0.0.1 and says hello, with the extension protocol.
   * @param options.ownPort where it says that it can be called
   * @param options.first what it sends together with its hello
   */
  static async connect(
    port: number,
    infoHash: string,
    { ownPort, first = Buffer.alloc(0) }: { ownPort?: number; first?: Buffer } = {},
  ): Promise<RawPeer> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const peer = new RawPeer(socket);
    const reserved = Buffer.from([0, 0, 0, 0, 0, 0x10, 0, 0]);
    const id = Buffer.from('-XX0001-raw-raw-raw-');
    socket.write(Buffer.concat([Buffer.from(PROTOCOL, 'latin1'), reserved, Buffer.from(infoHash, 'hex'), id, first]));
    peer.say(EXTENDED, Buffer.concat([Buffer.of(0), encodeBencode({ m: { ut_pex: PEX }, p: ownPort })]));
    return peer;
  }

  /** Becomes one who is answered. Who is interested before it knows in what is not heard by webtorrent. */
  async becomeUnchoked(): Promise<void> {
    if (this.heard(BITFIELD) === 0) await this.#hear(BITFIELD);
    this.say(INTERESTED, Buffer.alloc(0));
    await this.#hear(UNCHOKE);
  }

  /** Asks for blocks, all at once. */
  request(blocks: readonly Block[]): void {
    const messages = blocks.map((block) => {
      const message = Buffer.alloc(17);
      message.writeUInt32BE(13);
      message[4] = REQUEST;
      for (const [place, value] of block.entries()) message.writeUInt32BE(value, 5 + 4 * place);
      return message;
    });
    this.#socket.write(Buffer.concat(messages));
  }

  /** The next block that comes. */
  async piece(): Promise<{ readonly index: number; readonly offsetBytes: number; readonly bytes: Buffer }> {
    const message = await this.#hear(PIECE);
    return { index: message.readUInt32BE(0), offsetBytes: message.readUInt32BE(4), bytes: message.subarray(8) };
  }

  /** The ports of others that it is told of next. */
  async toldPorts(): Promise<number[]> {
    for (;;) {
      const message = await this.#hear(EXTENDED);
      const told = message[0] === PEX ? decodeBencode(message.subarray(1)) : undefined;
      const added = told instanceof Map ? told.get('added') : undefined;
      if (added instanceof Uint8Array)
        return Array.from({ length: added.length / 6 }, (_, at) => Buffer.from(added).readUInt16BE(6 * at + 4));
    }
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  /** Resolves when the connection has ended; what still came is thrown away. */
  async ended(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#socket.removeAllListeners('data').resume();
    await once(this.#socket, 'close');
  }

  /** How many messages of a kind it has heard, those included that were passed over. */
  heard(type: number): number {
    return this.#heard.filter((other) => other === type).length;
  }

  /** Sends bytes as they are. */
  raw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Sends a message. */
  say(type: number, payload: Uint8Array): void {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(payload.length + 1);
    head[4] = type;
    this.#socket.write(Buffer.concat([head, payload]));
  }

  /** The payload of the next message of a kind; other messages are passed over. */
  async #hear(type: number): Promise<Buffer> {
    for (;;) {
      const message = this.#take();
      if (message === undefined) {
        await once(this.#socket, 'data');
        continue;
      }
      this.#heard.push(message[0] ?? -1);
      if (message[0] === type) return message.subarray(1);
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
