/**
 * A line in front of an origin that gives each connection a rate of its own, as object stores and rate-limited registries do:
 * `capped-origin-child.ts LISTEN_PORT TARGET_PORT RATE_BITS`. It tells by a line of output that it listens.
 */
import { connect, createServer, type Socket } from 'node:net';

const TICK_MS = 4;
/** What a late timer may make up for; beyond it, what nobody took is not saved up. */
const MAX_CREDIT_MS = 100;
/** A client that does not read is not sent more than this. */
const MAX_UNSENT_BYTES = 256 * 1024;

const [listenPort = NaN, targetPort = NaN, rateBits = NaN] = process.argv.slice(2).map(Number);
const bytesPerMs = rateBits / 8 / 1000;

/** Passes on what the target sends, at most at the rate. */
class CappedConnection {
  readonly #client: Socket;
  readonly #target: Socket;
  #creditBytes = 0;
  #creditAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(client: Socket, target: Socket) {
    this.#client = client;
    this.#target = target;
    const end = (): void => {
      clearTimeout(this.#timer);
      client.destroy();
      target.destroy();
    };
    client.on('error', end).on('close', end).on('drain', this.#pass).pipe(target);
    target
      .on('error', end)
      .on('readable', this.#pass)
      .on('end', () => client.end());
  }

  readonly #pass = (): void => {
    clearTimeout(this.#timer);
    const nowMs = performance.now();
    const earned = (nowMs - this.#creditAtMs) * bytesPerMs;
    this.#creditBytes = Math.min(this.#creditBytes + earned, MAX_CREDIT_MS * bytesPerMs);
    this.#creditAtMs = nowMs;
    while (this.#creditBytes >= 1 && this.#client.writableLength < MAX_UNSENT_BYTES) {
      const sizeBytes = Math.min(this.#target.readableLength, Math.floor(this.#creditBytes));
      // Reading nothing is what makes an ended socket tell of its end.
      const chunk = this.#target.read(sizeBytes) as Buffer | null;
      if (chunk === null || sizeBytes === 0) break;
      this.#creditBytes -= chunk.length;
      this.#client.write(chunk);
    }
    if (this.#target.readableLength > 0 && this.#creditBytes < 1) this.#timer = setTimeout(this.#pass, TICK_MS);
    else if (this.#target.readableLength > 0) this.#timer = setTimeout(this.#pass, 4 * TICK_MS);
  };
}

const server = createServer({ noDelay: true }, (client) => {
  const target = connect(targetPort, '127.0.0.1');
  return new CappedConnection(client, target);
});
server.listen(listenPort, () => process.stdout.write('listening\n'));
