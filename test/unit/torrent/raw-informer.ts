/** A torrent client that is called, and gives whoever calls an info dictionary; whatever it is. @see BEP 9 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const HANDSHAKE_BYTES = 68;
const EXTENDED = 20;
const PART_BYTES = 16_384;

/** What it calls messages about info dictionaries. */
const METADATA = 3;

/** Ends with `await using`. */
export class RawInformer implements AsyncDisposable {
  readonly infoHash: string;
  readonly #info: Buffer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(info: Buffer) {
    this.#info = info;
    this.infoHash = createHash('sha1').update(info).digest('hex');
    this.#server = createServer((socket) => this.#meet(socket));
  }

  static async start(info: Buffer): Promise<RawInformer> {
    const informer = new RawInformer(info);
    informer.#server.listen(0, '127.0.0.1');
    await once(informer.#server, 'listening');
    return informer;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #meet(socket: Socket): void {
    this.#sockets.add(socket);
    let received = Buffer.alloc(0);
    let isShaken = false;
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      if (!isShaken && received.length >= HANDSHAKE_BYTES) {
        isShaken = true;
        this.#sayHello(socket);
        received = received.subarray(HANDSHAKE_BYTES);
      }
      while (isShaken && received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
        const end = 4 + received.readUInt32BE();
        this.#hear(socket, received.subarray(4, end).toString('latin1'));
        received = received.subarray(end);
      }
    });
  }

  #sayHello(socket: Socket): void {
    const reserved = Buffer.from([0, 0, 0, 0, 0, 0x10, 0, 0]);
    const [protocol, id] = [Buffer.from('\x13BitTorrent protocol', 'latin1'), Buffer.from('-XX0001-informer-raw')];
    socket.write(Buffer.concat([protocol, reserved, Buffer.from(this.infoHash, 'hex'), id]));
    const told = `d1:md11:ut_metadatai${METADATA}ee13:metadata_sizei${this.#info.length}ee`;
    this.#say(socket, 0, Buffer.from(told));
  }

  /** Of the other side's extensions it knows the first one's number alone, which webtorrent gives to this. */
  #hear(socket: Socket, message: string): void {
    const [, text] = /5:piecei(\d+)e/.exec(message) ?? [];
    if (text === undefined || !message.startsWith(String.fromCharCode(EXTENDED, METADATA))) return;
    const start = Number(text) * PART_BYTES;
    const head = `d8:msg_typei1e5:piecei${text}e10:total_sizei${this.#info.length}ee`;
    this.#say(socket, 1, Buffer.concat([Buffer.from(head), this.#info.subarray(start, start + PART_BYTES)]));
  }

  #say(socket: Socket, extension: number, payload: Buffer): void {
    const head = Buffer.alloc(6);
    head.writeUInt32BE(payload.length + 2);
    head[4] = EXTENDED;
    head[5] = extension;
    socket.write(Buffer.concat([head, payload]));
  }
}
