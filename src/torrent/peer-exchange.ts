/**
 * Peers of one torrent that are told of each other. Webtorrent hears what others tell it, and never tells anything itself. Each
 * peer that can be called is told to all others at once if they were told nothing yet, and else with what has changed meanwhile.
 * @see BEP 11, BEP 10 for the port of those who called
 */
import type { EventEmitter } from 'node:events';
import { SocketAddress } from 'node:net';

/** BEP 11 has a minute between two messages at least, and clients end connections over it. */
const INTERVAL_MS = 65_000;

/** Addresses in one message. */
const MAX_TOLD = 50;

/** It can be called: we have done so, or it has told its port. */
const IS_REACHABLE = 0x10;

const EXTENSION = 'ut_pex';

/** What webtorrent has of a connection, as far as addresses go. */
export interface ExchangingWire extends EventEmitter {
  readonly type: string;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  /** What the other side says of itself. */
  readonly peerExtendedHandshake: { readonly p?: unknown };
  /** How it wants to be told. */
  readonly peerExtendedMapping: { readonly [name: string]: number | undefined };
  extended(name: string, message: object): void;
}

interface Peer {
  /** Compact: four bytes or sixteen, and two for the port. In base 16. */
  address: string | undefined;
  told: Set<string>;
  toldAtMs: number | undefined;
}

/** The peers of one torrent. */
export class PeerExchange {
  readonly #nowMs: () => number;
  readonly #isTelling: () => boolean;
  readonly #peers = new Map<ExchangingWire, Peer>();

  /** @param isTelling false where peers are to hear nothing of each other */
  constructor(nowMs: () => number, isTelling: () => boolean) {
    this.#nowMs = nowMs;
    this.#isTelling = isTelling;
  }

  /** True when there is a connection to who can be called at `host:port`, be it that this side was called. */
  knows(hostPort: string): boolean {
    const [, host, port] = /^(.*):(\d+)$/.exec(hostPort) ?? [];
    const address = compact(host?.replaceAll(/[[\]]/g, ''), Number(port));
    return address !== undefined && this.#peers.values().some((peer) => peer.address === address);
  }

  /** Takes in a peer, from when it has said hello until its connection ends. */
  add(wire: ExchangingWire): void {
    if (!wire.type.startsWith('tcp')) return;
    const peer: Peer = { address: addressOf(wire), told: new Set(), toldAtMs: undefined };
    this.#peers.set(wire, peer);
    // What came together with the hello was heard before, and is there already.
    wire.on('extended', (name: unknown) => {
      if (name !== 'handshake') return;
      peer.address = addressOf(wire);
      this.tell();
    });
    wire.once('close', () => this.#peers.delete(wire));
  }

  /** Tells what is new to those who may be told again; to be called now and then. */
  tell(): void {
    if (!this.#isTelling()) return;
    const addresses = new Set<string>();
    for (const { address } of this.#peers.values()) if (address !== undefined) addresses.add(address);
    for (const [wire, peer] of this.#peers) this.#tell(wire, peer, addresses);
  }

  #tell(wire: ExchangingWire, peer: Peer, addresses: ReadonlySet<string>): void {
    if (!((wire.peerExtendedMapping[EXTENSION] ?? 0) > 0)) return;
    const nowMs = this.#nowMs();
    if (peer.toldAtMs !== undefined && nowMs - peer.toldAtMs < INTERVAL_MS) return;
    const added = [...addresses].filter((address) => address !== peer.address && !peer.told.has(address));
    const dropped = [...peer.told].filter((address) => !addresses.has(address));
    if (added.length + dropped.length === 0) return;
    const [toAdd, toDrop] = [added.slice(0, MAX_TOLD), dropped.slice(0, MAX_TOLD)];
    for (const address of toAdd) peer.told.add(address);
    for (const address of toDrop) peer.told.delete(address);
    peer.toldAtMs = nowMs;
    wire.extended(EXTENSION, message(toAdd, toDrop));
  }
}

function addressOf({ type, remoteAddress, remotePort, peerExtendedHandshake }: ExchangingWire): string | undefined {
  return compact(remoteAddress, type === 'tcpOutgoing' ? remotePort : peerExtendedHandshake.p);
}

function message(added: readonly string[], dropped: readonly string[]): object {
  const ofFamily = (addresses: readonly string[], bytes: number): Buffer =>
    Buffer.from(addresses.filter((address) => address.length === 2 * bytes).join(''), 'hex');
  const flags = (compacted: Buffer, bytes: number): Buffer => Buffer.alloc(compacted.length / bytes, IS_REACHABLE);
  const [added4, added6] = [ofFamily(added, 6), ofFamily(added, 18)];
  return {
    added: added4,
    'added.f': flags(added4, 6),
    added6,
    'added6.f': flags(added6, 18),
    dropped: ofFamily(dropped, 6),
    dropped6: ofFamily(dropped, 18),
  };
}

/** An address as BEP 11 has it; `undefined` of what is none. */
function compact(host: string | undefined, port: unknown): string | undefined {
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const address = SocketAddress.parse(host?.includes(':') === true ? `[${host}]:0` : `${host ?? ''}:0`);
  if (address === undefined) return undefined;
  const hex = address.family === 'ipv4' ? compactIpv4(address.address) : compactIpv6(address.address);
  return /^(?:[\da-f]{8}|[\da-f]{32})$/.test(hex) ? hex + port.toString(16).padStart(4, '0') : undefined;
}

function compactIpv4(address: string): string {
  return Buffer.from(address.split('.').map(Number)).toString('hex');
}

/** IPv4 inside of IPv6, as a socket of both has it, is IPv4. */
function compactIpv6(address: string): string {
  const embedded = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (embedded !== undefined) return compactIpv4(embedded);
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] =>
    text === '' ? [] : text.split(':').map((group) => group.padStart(4, '0'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0000'), ...after].join('');
}
