/**
 * Holders through the DHT: whoever holds a blob says so to the members whose ids are closest to its key. One record per
 * blob, never per piece; records are renewed well before they vanish, a few at a time.
 * @see libp2p specs, kad-dht/README.md, "Content provider advertisement and discovery"
 */
import type { KadDHT } from '@libp2p/kad-dht';
import { CID } from 'multiformats/cid';
import { create as createMultihash } from 'multiformats/hashes/digest';
import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';
import { isAbortError } from '../oci/error.ts';
import { AnnounceQueue } from './announce-queue.ts';
import type { Clock } from './clock.ts';
import { HOST_LIMITS } from './host-limits.ts';
import type { HolderDiscovery, MemberDirectory, PeerId, SocketAddress } from './member.ts';

/** Multicodec of raw bytes, and of SHA-256. */
const RAW_CODE = 0x55;
const SHA256_CODE = 0x12;

/** Keys that this node announces at most; beyond, the one announced longest ago is dropped. */
const MAX_ANNOUNCED_KEYS = 4_096;

/** Records are renewed at half of their validity. */
const RENEWAL_MS = HOST_LIMITS.dht.reprovide.validity / 2;

/** Publishing one key may take so long. */
const PROVIDE_TIMEOUT_MS = 10_000;

/** A look-up ends by itself after this time. */
const FIND_TIMEOUT_MS = 5_000;

/** A look-up ends when so many holders were found. */
const MAX_HOLDERS = 32;

export interface DhtDiscoveryDeps {
  readonly dht: KadDHT;
  readonly members: MemberDirectory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Whoever opens it closes it, before the host. */
export class DhtDiscovery implements HolderDiscovery, AsyncDisposable {
  readonly name = 'dht';
  readonly #deps: DhtDiscoveryDeps;
  readonly #queue: AnnounceQueue;
  readonly #operations: Counter<'operation' | 'outcome'>;

  constructor(deps: DhtDiscoveryDeps) {
    this.#deps = deps;
    this.#operations = new Counter({
      name: 'dockyard_dht_operations_total',
      help: 'Operations on the DHT: provide and find, by outcome.',
      labelNames: ['operation', 'outcome'],
      registers: [deps.metrics],
    });
    this.#queue = new AnnounceQueue(
      { clock: deps.clock, announce: async (key, options) => this.#provide(key, options.signal) },
      { maxKeys: MAX_ANNOUNCED_KEYS, renewalMs: RENEWAL_MS, concurrency: 2, spacingMs: 20 },
    );
  }

  /** Returns at once; the record is published in the background, when those before it are. */
  async announce(key: Uint8Array): Promise<void> {
    this.#queue.add(key);
  }

  async withdraw(key: Uint8Array): Promise<void> {
    if (this.#queue.remove(key)) await this.#deps.dht.cancelReprovide(cidOf(key));
  }

  async *find(
    key: Uint8Array,
    options: { signal: AbortSignal },
  ): AsyncGenerator<{ peerId: PeerId; address?: SocketAddress }> {
    const own = AbortSignal.timeout(FIND_TIMEOUT_MS);
    const signal = AbortSignal.any([options.signal, own]);
    const told = new Set<PeerId>([this.#deps.members.self.peerId]);
    try {
      for await (const event of this.#deps.dht.findProviders(cidOf(key), { signal })) {
        if (event.name !== 'PROVIDER') continue;
        for (const { id } of event.providers) {
          const peerId = id.toString();
          if (told.has(peerId)) continue;
          told.add(peerId);
          yield this.#holder(peerId);
          if (told.size > MAX_HOLDERS) return;
        }
      }
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isAbortError(error) && !own.aborted) this.#deps.log.debug({ err: error }, 'DHT look-up failed');
    } finally {
      this.#operations.inc({ operation: 'find', outcome: told.size > 1 ? 'found' : 'none' });
    }
  }

  /** Ends publishing. Records that others hold of this node vanish with time. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #holder(peerId: PeerId): { peerId: PeerId; address?: SocketAddress } {
    const address = this.#deps.members.get(peerId)?.dataAddresses[0];
    return address === undefined ? { peerId } : { peerId, address };
  }

  async #provide(key: Uint8Array, signal: AbortSignal): Promise<void> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(PROVIDE_TIMEOUT_MS)]);
    try {
      for await (const event of this.#deps.dht.provide(cidOf(key), { signal: limited })) {
        if (event.name === 'QUERY_ERROR') this.#deps.log.trace({ err: event.error }, 'DHT peer did not take a record');
      }
      this.#operations.inc({ operation: 'provide', outcome: 'done' });
    } catch (error) {
      if (signal.aborted) return;
      this.#operations.inc({ operation: 'provide', outcome: 'failed' });
      this.#deps.log.debug({ err: error }, 'publishing to the DHT failed');
    }
  }
}

/** @param key a SHA-256 hash: exactly 32 bytes */
function cidOf(key: Uint8Array): CID {
  if (key.length !== 32) throw new RangeError(`a key has 32 bytes, not ${key.length}`);
  return CID.createV1(RAW_CODE, createMultihash(SHA256_CODE, key));
}
