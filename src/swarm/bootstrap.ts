/**
 * The way into a swarm: addresses given as HOST:PORT, without a peer id. A name may stand for many addresses, and for
 * others tomorrow (a headless service of Kubernetes), so names are resolved anew every time.
 */
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import { swarmError } from './errors.ts';
import type { PeerId, SocketAddress } from './member.ts';
import { formatSocketAddress } from './socket-address.ts';

/** One bootstrap address is given this long, handshake included. */
const DIAL_TIMEOUT_MS = 5_000;

/** More addresses behind one name than this are not dialled in one round: any one of them leads to all the others. */
const MAX_ADDRESSES_PER_NAME = 8;

/** Failures of the network, as against those of a handshake. */
const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EADDRNOTAVAIL',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

export interface BootstrapDeps {
  /** Connects to an address, whoever is there. */
  readonly dial: (address: SocketAddress, options: { signal: AbortSignal }) => Promise<PeerId>;
  /** Whether anything takes connections there, whatever it speaks. */
  readonly accepts: (address: SocketAddress, options: { signal: AbortSignal }) => Promise<boolean>;
  /** All addresses of a host name, in any order. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

/** What is known of one address: a failure is logged once, until it changes. */
type AddressState = 'connected' | 'self' | 'unresolved' | 'unreachable' | 'silent' | 'mismatch';

export class Bootstrap {
  readonly #deps: BootstrapDeps;
  readonly #addresses: readonly SocketAddress[];
  readonly #states = new Map<string, AddressState>();

  constructor(deps: BootstrapDeps, addresses: readonly SocketAddress[]) {
    this.#deps = deps;
    this.#addresses = addresses;
  }

  /** Dials all addresses but those in `covered` (their text form). Failures are logged, never thrown. */
  async connect(covered: ReadonlySet<string>, options: { signal: AbortSignal }): Promise<void> {
    const resolved = await Promise.all(this.#addresses.map((address) => this.#resolve(address)));
    const targets = new Map(resolved.flat().map((address) => [formatSocketAddress(address), address]));
    for (const text of [...targets.keys()])
      if (covered.has(text) || this.#states.get(text) === 'self') targets.delete(text);
    await Promise.all([...targets.values()].map((address) => this.#dial(address, options.signal)));
  }

  async #resolve(address: SocketAddress): Promise<SocketAddress[]> {
    try {
      const hosts = [...new Set(await this.#deps.resolve(address.host))];
      const start = Math.floor(this.#deps.random() * hosts.length);
      const turned = [...hosts.slice(start), ...hosts.slice(0, start)];
      return turned.slice(0, MAX_ADDRESSES_PER_NAME).map((host) => ({ host, port: address.port }));
    } catch (error) {
      this.#note(
        address,
        'unresolved',
        swarmError('ERR_SWARM_UNREACHABLE', `cannot resolve ${address.host}`, { cause: error }),
      );
      return [];
    }
  }

  async #dial(address: SocketAddress, signal: AbortSignal): Promise<void> {
    try {
      const peerId = await this.#deps.dial(address, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]),
      });
      if (this.#states.get(formatSocketAddress(address)) === 'connected') return;
      this.#states.set(formatSocketAddress(address), 'connected');
      this.#deps.log.info({ address: formatSocketAddress(address), peer: peerId }, 'bootstrap address connected');
    } catch (error) {
      if (signal.aborted) return;
      if (isOwnAddress(error)) this.#states.set(formatSocketAddress(address), 'self');
      else await this.#noteFailure(address, asError(error), signal);
    }
  }

  async #noteFailure(address: SocketAddress, error: Error, signal: AbortSignal): Promise<void> {
    const text = formatSocketAddress(address);
    if (isUnreachable(error)) {
      this.#note(
        address,
        'unreachable',
        swarmError('ERR_SWARM_UNREACHABLE', `nothing answers at ${text}`, { cause: error }),
      );
    } else if (isTimeout(error)) {
      await this.#noteTimeout(address, error, signal);
    } else {
      const message = `${text} accepts connections, but not with this swarm key`;
      this.#note(address, 'mismatch', swarmError('ERR_SWARM_KEY_MISMATCH', message, { cause: error }));
    }
  }

  /** With another key each end may wait for the rest of what it cannot read, until the time is over: both are one state, told once. */
  async #noteTimeout(address: SocketAddress, cause: Error, signal: AbortSignal): Promise<void> {
    const text = formatSocketAddress(address);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    const isThere = await this.#deps.accepts(address, { signal: limit });
    if (signal.aborted) return;
    if (!isThere) {
      const message = `${text} takes no connection in time: nothing runs there, or packets are dropped on the way`;
      this.#note(address, 'silent', swarmError('ERR_SWARM_UNREACHABLE', message, { cause }));
      return;
    }
    const message = `${text} accepts connections, but no handshake comes about: it has another swarm key, or is stopped or overloaded`;
    this.#note(address, 'mismatch', swarmError('ERR_SWARM_KEY_MISMATCH', message, { cause }));
  }

  #note(address: SocketAddress, state: AddressState, error: Error): void {
    const text = formatSocketAddress(address);
    if (this.#states.get(text) === state) return;
    this.#states.set(text, state);
    this.#deps.log.warn({ address: text, err: error }, 'bootstrap address failed');
  }
}

function causes(error: unknown): Error[] {
  if (!(error instanceof Error)) return [];
  const inner: unknown[] = error instanceof AggregateError ? error.errors : [error.cause];
  return [error, ...inner.flatMap(causes)];
}

function isUnreachable(error: Error): boolean {
  return causes(error).some((each) => UNREACHABLE_CODES.has((each as NodeJS.ErrnoException).code ?? ''));
}

/** Aborted for the time that it took: when the node ends nobody asks. A failure within a handshake tells so in its text alone. */
function isTimeout(error: Error): boolean {
  return causes(error).some(
    ({ name, message }) => name === 'TimeoutError' || name === 'AbortError' || message.includes('due to timeout'),
  );
}

function isOwnAddress(error: unknown): boolean {
  return causes(error).some((each) => each.name === 'InvalidPeerIdError' || each.message.includes('dial self'));
}
