/**
 * What a member says of itself, signed by its identity, and how it looks in bytes. Nobody can forge another's addresses
 * or departure; that a member is suspected or dead is the hearsay of others, and travels unsigned beside the record.
 *
 * Body of a record, integers big-endian:
 * `version 1 (1) | flags (1; bit 0: left) | incarnation (6) | Ed25519 public key (32) | swarm addresses | data addresses |
 * topology length (1), UTF-8`. Addresses: `count (1)`, then for each `host length (1), ASCII, port (2)`.
 */
import { PUBLIC_KEY_BYTES, peerIdOfPublicKey, SIGNATURE_BYTES, verifyKeySignature, type Identity } from './identity.ts';
import type { Member, PeerId, SocketAddress } from './member.ts';
import { swarmError } from './errors.ts';
import { isHost, MAX_ANNOUNCED_ADDRESSES } from './socket-address.ts';

const RECORD_VERSION = 1;
const FLAG_LEFT = 1;

/** Signed together with the body, so that the signature of a record is a signature of nothing else. */
const SIGNING_CONTEXT = Buffer.from('dockyard member record 1\0');

/** Longest label of where a node stands, in bytes of UTF-8. */
export const MAX_TOPOLOGY_BYTES = 255;

/** The longest body that the format allows: no record is larger. */
export const MAX_RECORD_BYTES =
  8 + PUBLIC_KEY_BYTES + 2 * (1 + MAX_ANNOUNCED_ADDRESSES * (1 + 255 + 2)) + 1 + MAX_TOPOLOGY_BYTES;

/** What a member says of itself. */
export interface MemberRecord {
  /** Grows whenever the member says something new; milliseconds since 1970 at its first. At most 2^48 - 1. */
  readonly incarnation: number;
  /** It has gone on purpose. */
  readonly left: boolean;
  /** Where its libp2p host listens, best first. */
  readonly swarmAddresses: readonly SocketAddress[];
  /** Where its data plane listens, best first. */
  readonly dataAddresses: readonly SocketAddress[];
  readonly topology: string;
}

/** A record as it travels. */
export interface SignedRecord {
  readonly record: MemberRecord;
  /** As the layers above see it; the same object as long as the record is the same. */
  readonly member: Member;
  readonly publicKey: Uint8Array;
  readonly body: Uint8Array;
  /** 64 bytes, over the body. */
  readonly signature: Uint8Array;
}

/** The peer whose record it is. */
export function recordPeerId(signed: SignedRecord): PeerId {
  return signed.member.peerId;
}

/** Signs what this node says of itself. Lists and labels beyond their limits are cut; the incarnation is a whole number. */
export function signRecord(identity: Identity, record: MemberRecord): SignedRecord {
  if (!Number.isSafeInteger(record.incarnation))
    throw new RangeError(`incarnation ${record.incarnation} is no whole number`);
  const body = encodeRecord(record, identity.publicKey);
  const signature = identity.sign(Buffer.concat([SIGNING_CONTEXT, body]));
  return withMember(record, identity.publicKey, body, signature);
}

/**
 * Reads a record from untrusted bytes; its signature is not checked here, for most records that arrive are known already.
 * @throws {DockyardError} ERR_MEMBERS_PROTOCOL
 */
export function decodeRecord(body: Uint8Array, signature: Uint8Array): SignedRecord {
  const reader = new RecordReader(body);
  if (reader.uint(1) !== RECORD_VERSION) throw malformed('a record of an unknown version');
  const flags = reader.uint(1);
  if (flags > FLAG_LEFT) throw malformed('a record with unknown flags');
  const incarnation = reader.uint(6);
  const publicKey = reader.bytes(PUBLIC_KEY_BYTES);
  const swarmAddresses = reader.addresses();
  const dataAddresses = reader.addresses();
  const topology = reader.text(reader.uint(1));
  reader.end();
  if (signature.length !== SIGNATURE_BYTES) throw malformed('a signature of a wrong length');
  return withMember(
    { incarnation, left: flags === FLAG_LEFT, swarmAddresses, dataAddresses, topology },
    publicKey,
    body,
    signature,
  );
}

/** True when the record was signed by the identity that it names. Costs about 0.1 ms. */
export function isAuthentic(signed: SignedRecord): boolean {
  return verifyKeySignature(signed.publicKey, Buffer.concat([SIGNING_CONTEXT, signed.body]), signed.signature);
}

function withMember(
  record: MemberRecord,
  publicKey: Uint8Array,
  body: Uint8Array,
  signature: Uint8Array,
): SignedRecord {
  const member = {
    peerId: peerIdOfPublicKey(publicKey),
    dataAddresses: record.dataAddresses,
    topology: record.topology,
  };
  return { record, member, publicKey, body, signature };
}

function encodeRecord(record: MemberRecord, publicKey: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(RECORD_VERSION, 0);
  head.writeUInt8(record.left ? FLAG_LEFT : 0, 1);
  head.writeUIntBE(record.incarnation, 2, 6);
  const topology = cutUtf8(record.topology, MAX_TOPOLOGY_BYTES);
  return Buffer.concat([
    head,
    publicKey,
    encodeAddresses(record.swarmAddresses),
    encodeAddresses(record.dataAddresses),
    Buffer.from([topology.length]),
    topology,
  ]);
}

function encodeAddresses(addresses: readonly SocketAddress[]): Buffer {
  const kept = addresses.slice(0, MAX_ANNOUNCED_ADDRESSES);
  const parts = kept.map(({ host, port }) => {
    const name = Buffer.from(host, 'latin1');
    return Buffer.concat([Buffer.from([name.length]), name, Buffer.from([port >> 8, port & 0xff])]);
  });
  return Buffer.concat([Buffer.from([kept.length]), ...parts]);
}

/** Whole characters only: a cut in the middle of one would not be read back as it was written. */
function cutUtf8(text: string, maxBytes: number): Buffer {
  let cut = text;
  while (Buffer.byteLength(cut) > maxBytes) cut = [...cut].slice(0, -1).join('');
  return Buffer.from(cut);
}

class RecordReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    if (bytes.length > MAX_RECORD_BYTES) throw malformed('a record that is too long');
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  bytes(count: number): Buffer {
    const end = this.#offset + count;
    if (end > this.#bytes.length) throw malformed('a record that ends too early');
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  uint(byteCount: number): number {
    return this.bytes(byteCount).readUIntBE(0, byteCount);
  }

  text(byteCount: number): string {
    const bytes = this.bytes(byteCount);
    const text = bytes.toString('utf8');
    if (!Buffer.from(text).equals(bytes)) throw malformed('a label that is not UTF-8');
    return text;
  }

  addresses(): SocketAddress[] {
    const count = this.uint(1);
    if (count > MAX_ANNOUNCED_ADDRESSES) throw malformed('too many addresses');
    return Array.from({ length: count }, () => {
      const host = this.text(this.uint(1));
      const port = this.uint(2);
      if (!isHost(host) || port === 0) throw malformed('an address that is none');
      return { host, port };
    });
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw malformed('a record that is too long');
  }
}

function malformed(what: string): Error {
  return swarmError('ERR_MEMBERS_PROTOCOL', `a peer sent ${what}`);
}
