/**
 * A kept HTTP connection of a client that costs nearly nothing: requests are written and answers are read as they are on the
 * wire, one at a time. It knows as much of HTTP as the answers of registries have.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** What a client wants to know of an answer; its body was counted and thrown away. */
export interface LeanAnswer {
  readonly status: number;
  readonly location: string | undefined;
  readonly bodyBytes: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');

interface Waiting {
  resolve(answer: LeanAnswer): void;
  reject(error: Error): void;
}

/** One request at a time. Closed by whoever opened it. */
export class LeanConnection implements Disposable {
  readonly #socket: Socket;
  readonly #host: string;
  #head: Buffer = Buffer.alloc(0);
  #answer: { status: number; location: string | undefined; bodyBytes: number; leftBytes: number } | undefined;
  #waiting: Waiting | undefined;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error(`${host} closed the connection`)));
  }

  /** @param origin `http://HOST:PORT` */
  static async open(origin: string): Promise<LeanConnection> {
    const { hostname, port, host } = new URL(origin);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new LeanConnection(socket, host);
  }

  /** Sends a request and waits for all of its answer. */
  async ask(method: string, target: string, body?: Buffer): Promise<LeanAnswer> {
    const head = `${method} ${target} HTTP/1.1\r\nHost: ${this.#host}\r\nContent-Length: ${body?.length ?? 0}\r\n`;
    const { promise, resolve, reject } = Promise.withResolvers<LeanAnswer>();
    this.#waiting = { resolve, reject };
    this.#socket.cork();
    this.#socket.write(`${head}Content-Type: application/octet-stream\r\n\r\n`);
    if (body !== undefined) this.#socket.write(body);
    this.#socket.uncork();
    return await promise;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const body = this.#answer === undefined ? this.#takeHead(chunk) : chunk;
    const answer = this.#answer;
    if (answer === undefined) return;
    answer.leftBytes -= body.length;
    if (answer.leftBytes > 0) return;
    this.#answer = undefined;
    const { leftBytes, ...told } = answer;
    if (leftBytes < 0) this.#fail(new Error(`${this.#host} sent more than it promised`));
    this.#waiting?.resolve(told);
    this.#waiting = undefined;
  }

  /** Reads the head once it is whole; what comes after it is the body. */
  #takeHead(chunk: Buffer): Buffer {
    const seen = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const end = seen.indexOf(HEAD_END);
    if (end === -1) {
      this.#head = seen;
      return Buffer.alloc(0);
    }
    this.#head = Buffer.alloc(0);
    const head = seen.toString('latin1', 0, end);
    const lengthText = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (lengthText === undefined) this.#fail(new Error(`${this.#host} does not tell a length: ${head}`));
    this.#answer = {
      status: Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)),
      location: /^location: *(\S+)/im.exec(head)?.[1],
      bodyBytes: Number(lengthText),
      leftBytes: Number(lengthText),
    };
    return seen.subarray(end + HEAD_END.length);
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}
