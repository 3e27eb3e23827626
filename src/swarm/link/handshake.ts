/**
 * Who is at the other end of a TLS connection.
 *
 * Both sides send one hello at once. It carries the sender's peer id, a signature by that identity, and, in a private
 * swarm, a MAC under a key derived from the swarm key. Signature and MAC cover keying material that TLS exports (RFC 8446
 * section 7.5): it is unique to this connection and known to its two ends only, so a hello can neither be replayed nor
 * relayed by someone in the middle, and no certificate needs to be pinned or exchanged beforehand.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { swarmError } from '../errors.ts';
import type { PeerId } from '../member.ts';

/** Bytes that a hello may have at most; it is read from someone not yet known. */
export const MAX_HELLO_BYTES = 2048;

const EXPORTER_LABEL = 'EXPERIMENTAL-dockyard-link';
const VERSION = 1;

/** Which side of the connection speaks: keeps a hello from being sent back as the answer. */
export type LinkRole = 'dialler' | 'listener';

/** What a node needs to prove itself. */
export interface LinkIdentity {
  readonly peerId: PeerId;
  sign(bytes: Uint8Array): Uint8Array;
}

/** Checks a signature against the public key that is inside a peer id. */
export type VerifySignature = (peerId: PeerId, bytes: Uint8Array, signature: Uint8Array) => boolean;

/** The secrets and checks of one side. */
export interface HandshakeDeps {
  readonly identity: LinkIdentity;
  readonly verify: VerifySignature;
  /** 32 bytes derived from the swarm key; undefined in an open network. */
  readonly memberKey: Buffer | undefined;
}

interface Hello {
  readonly version: number;
  readonly peerId: string;
  readonly signature: string;
  readonly proof: string;
}

function transcript(socket: TLSSocket, role: LinkRole, peerId: PeerId): Buffer {
  const keying = socket.exportKeyingMaterial(32, EXPORTER_LABEL, Buffer.alloc(0));
  return Buffer.concat([Buffer.from(`dockyard-link/${VERSION} ${role} ${peerId}\0`), keying]);
}

function proofOf(memberKey: Buffer | undefined, bytes: Buffer): Buffer {
  if (memberKey === undefined) return Buffer.alloc(0);
  return createHmac('sha256', memberKey).update(bytes).digest();
}

/** The hello that this side sends. */
export function makeHello(deps: HandshakeDeps, socket: TLSSocket, role: LinkRole): Buffer {
  const bytes = transcript(socket, role, deps.identity.peerId);
  const hello: Hello = {
    version: VERSION,
    peerId: deps.identity.peerId,
    signature: Buffer.from(deps.identity.sign(bytes)).toString('base64'),
    proof: proofOf(deps.memberKey, bytes).toString('base64'),
  };
  return Buffer.from(JSON.stringify(hello));
}

/**
 * Checks the hello of the other side and answers who it is.
 * @throws {DockyardError} ERR_LINK_REFUSED
 */
export function checkHello(deps: HandshakeDeps, socket: TLSSocket, role: LinkRole, payload: Buffer): PeerId {
  const hello = parseHello(payload);
  if (hello.version !== VERSION) {
    throw refused(`it speaks version ${hello.version} of the link protocol, this node speaks ${VERSION}`);
  }
  if (hello.peerId === deps.identity.peerId) throw refused('it has the identity of this node');
  const bytes = transcript(socket, role, hello.peerId);
  const expected = proofOf(deps.memberKey, bytes);
  const given = Buffer.from(hello.proof, 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw refused(
      deps.memberKey === undefined
        ? 'it holds a swarm key, this node has none'
        : given.length === 0
          ? 'it has no swarm key'
          : 'its swarm key is another one',
    );
  }
  if (!deps.verify(hello.peerId, bytes, Buffer.from(hello.signature, 'base64'))) {
    throw refused('its signature is not that of the identity it claims');
  }
  return hello.peerId;
}

function parseHello(payload: Buffer): Hello {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (cause) {
    throw swarmError('ERR_LINK_REFUSED', 'the peer was refused: its hello is not JSON', { cause });
  }
  const hello = value as Partial<Hello> | null;
  const wellFormed =
    typeof hello === 'object' &&
    hello !== null &&
    typeof hello.version === 'number' &&
    typeof hello.peerId === 'string' &&
    hello.peerId.length <= 128 &&
    typeof hello.signature === 'string' &&
    typeof hello.proof === 'string';
  if (!wellFormed) throw refused('its hello is malformed');
  return hello as Hello;
}

function refused(why: string): Error {
  return swarmError('ERR_LINK_REFUSED', `the peer was refused: ${why}`);
}
