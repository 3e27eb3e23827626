/**
 * A slow line: a TCP proxy that lets so many bytes a second through from its target to its clients, all connections together.
 * Tests use it to have time for what they do in the middle of a transfer, and to count what a registry really sent.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** How often tokens are given out. */
const TICK_MS = 10;
/** A client that does not read is not sent more than this. */
const MAX_UNSENT_BYTES = 256 * 1024;

interface Pair {
  readonly client: Socket;
  readonly target: Socket;
}

/** Close it with `await using`. */
export class ThrottlingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pairs = new Set<Pair>();
  #tick: NodeJS.Timeout | undefined;
  #rateBytesPerSecond: number;
  #tokens = 0;
  #passedBytes = 0;

  private constructor(targetPort: number, rateBytesPerSecond: number) {
    this.#targetPort = targetPort;
    this.#rateBytesPerSecond = rateBytesPerSecond;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** Listens on a port of its own on 127.0.0.1. */
  static async open(targetPort: number, rateBytesPerSecond: number): Promise<ThrottlingProxy> {
    const proxy = new ThrottlingProxy(targetPort, rateBytesPerSecond);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.#tick = setInterval(() => proxy.#pass(), TICK_MS);
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Bytes from the target that were sent on, heads of answers included. */
  get passedBytes(): number {
    return this.#passedBytes;
  }

  /** Changes the rate from now on; 0 lets nothing through. */
  setRate(bytesPerSecond: number): void {
    this.#rateBytesPerSecond = bytesPerSecond;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#tick);
    for (const { client, target } of this.#pairs) {
      client.destroy();
      target.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    const target = connect(this.#targetPort, '127.0.0.1');
    const pair = { client, target };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      target.destroy();
    };
    client.on('error', end).on('close', end).pipe(target);
    // What the target sent before it went is still passed on, as by a real line; an error of its socket is a cut.
    target.on('error', end);
    // Having this listener makes the socket read ahead up to its high-water mark, and no further.
    target.on('readable', () => undefined);
    target.on('end', () => client.end());
  }

  #pass(): void {
    const perTick = (this.#rateBytesPerSecond * TICK_MS) / 1000;
    // What nobody took is not saved up: the line has its rate at any moment.
    this.#tokens = Math.min(this.#tokens, 0) + perTick;
    for (let isMoving = true; isMoving && this.#tokens > 0;) {
      isMoving = false;
      for (const pair of this.#pairs) if (this.#passSome(pair)) isMoving = true;
    }
  }

  #passSome({ client, target }: Pair): boolean {
    const sizeBytes = Math.min(target.readableLength, Math.ceil(this.#tokens));
    if (sizeBytes <= 0 || client.writableLength > MAX_UNSENT_BYTES) {
      // Reading nothing is what makes an ended socket tell of its end.
      if (target.readableLength === 0) target.read(0);
      return false;
    }
    const chunk = target.read(sizeBytes) as Buffer | null;
    if (chunk === null) return false;
    this.#tokens -= chunk.length;
    this.#passedBytes += chunk.length;
    client.write(chunk);
    return true;
  }
}
