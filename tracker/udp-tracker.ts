/**
 * Announces and scrapes over UDP. Not by bittorrent-tracker, whose server knows one connection id for all: see
 * docs/decisions/0013-tracker-server.md. Until an address has shown a connection id, it is never sent more than it sent.
 * @see BEP 15, BEP 41
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { packAddress, plainHost } from './address.ts';
import { Refusal } from './announce.ts';
import type { ConnectionIds } from './connection-ids.ts';
import type { ProtocolDeps } from './http-tracker.ts';
import {
  announceAnswer,
  connectAnswer,
  errorAnswer,
  readUdpRequest,
  scrapeAnswer,
  type UdpRequest,
} from './udp-packets.ts';

/** A flood of announces waits in the kernel, as far as it lets us. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpTrackerDeps extends ProtocolDeps {
  readonly connectionIds: ConnectionIds;
}

/** The listener. Whoever opens it closes it. */
export class UdpTracker {
  readonly #deps: UdpTrackerDeps;
  readonly #intervalMs: number;
  #socket: Socket | undefined;

  constructor(deps: UdpTrackerDeps, config: { readonly intervalMs: number }) {
    this.#deps = deps;
    this.#intervalMs = config.intervalMs;
  }

  async listen(host: string, port: number): Promise<void> {
    const type = isIPv6(host) ? 'udp6' : 'udp4';
    const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES });
    this.#socket = socket;
    socket.on('message', (message, from) => this.#receive(message, from));
    socket.bind(port, host);
    await once(socket, 'listening');
    socket.on('error', (error) => this.#deps.log.debug({ err: error }, 'tracker UDP listener failed'));
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    await new Promise<void>((resolve) => socket.close(resolve));
  }

  #receive(message: Buffer, from: RemoteInfo): void {
    const request = readUdpRequest(message);
    if (request === undefined) {
      this.#deps.requests.count('udp', 'malformed');
      return;
    }
    const host = plainHost(from.address);
    const answer = this.#answer(request, host, from.port, message.length);
    if (answer !== undefined) this.#send(answer, from);
  }

  #answer(request: UdpRequest, host: string, port: number, askedBytes: number): Buffer | undefined {
    const { connectionIds, admission, requests } = this.#deps;
    const { transaction } = request;
    if (request.action === 'connect') return connectAnswer(transaction, connectionIds.issue(host));
    if (!connectionIds.isValid(host, request.connectionId)) {
      requests.count('udp', 'malformed');
      const refusal = errorAnswer(transaction, 'connection id is not valid: connect again');
      return refusal.length <= askedBytes ? refusal : undefined;
    }
    const retryAfterSeconds = admission.retryAfterSeconds(host);
    if (retryAfterSeconds > 0) {
      requests.count('udp', 'limited');
      return errorAnswer(transaction, `too many announces: try again in ${retryAfterSeconds} s`);
    }
    try {
      return request.action === 'scrape' ? this.#scrape(request) : this.#announce(request, host, port);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      requests.count('udp', error.kind);
      return errorAnswer(transaction, error.message);
    }
  }

  #announce(request: UdpRequest & { action: 'announce' }, host: string, port: number): Buffer {
    const address = packAddress(host, request.port === 0 ? port : request.port);
    if (address === undefined) throw new Refusal('malformed', 'invalid address');
    this.#deps.admission.admit(request);
    const { complete, incomplete, peers, peers6 } = this.#deps.table.announce({ ...request, address });
    this.#deps.requests.count('udp', request.event);
    // The family of the datagram says which peers its sender can read.
    const readable = address.length === 6 ? peers : peers6;
    return announceAnswer(request.transaction, { complete, incomplete, peers: readable }, this.#intervalMs);
  }

  #scrape({ transaction, infoHashes }: UdpRequest & { action: 'scrape' }): Buffer {
    this.#deps.requests.count('udp', 'scrape');
    const { admission, table } = this.#deps;
    return scrapeAnswer(
      transaction,
      infoHashes.map((infoHash) => (admission.isServed(infoHash) ? table.scrape(infoHash) : undefined)),
    );
  }

  #send(answer: Buffer, { address, port }: RemoteInfo): void {
    // Nobody can be reached at port 0, which a forged datagram may claim to come from.
    if (port === 0) return;
    this.#socket?.send(answer, port, address, (error) => {
      if (error !== null) this.#deps.log.trace({ err: error }, 'tracker answer could not be sent');
    });
  }
}
