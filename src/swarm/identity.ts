/**
 * Who this node is: an Ed25519 key pair, kept in the data folder, and the libp2p peer id that names its public half.
 *
 * Signing and checking go through node:crypto, which is synchronous and an order of magnitude faster than libp2p's own;
 * the peer id of an Ed25519 key holds the whole public key, so that a signature is checked with nothing else at hand.
 * @see libp2p specs, peer-ids/peer-ids.md, "Keys"
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomUUID,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { base58btc } from 'multiformats/bases/base58';
import { swarmError } from './errors.ts';
import type { PeerId } from './member.ts';

/** Length of a raw Ed25519 public key. */
export const PUBLIC_KEY_BYTES = 32;

/** Length of an Ed25519 signature. */
export const SIGNATURE_BYTES = 64;

/** Identity multihash of 36 bytes, holding a protobuf: key type 1 (Ed25519), key data of 32 bytes. */
const PEER_ID_PREFIX = Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);

/** DER of a SubjectPublicKeyInfo for Ed25519, up to the key. @see RFC 8410, section 4 */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** The key pair of this node. */
export interface Identity {
  readonly peerId: PeerId;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** For libp2p. */
  readonly privateKey: PrivateKey;
  /** An Ed25519 signature: 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** The peer id that names a raw Ed25519 public key of 32 bytes. */
export function peerIdOfPublicKey(publicKey: Uint8Array): PeerId {
  return base58btc.baseEncode(Buffer.concat([PEER_ID_PREFIX, publicKey]));
}

/** The raw Ed25519 public key (32 bytes) within a peer id; `undefined` when the text is no Ed25519 peer id. */
export function publicKeyOfPeerId(peerId: PeerId): Uint8Array | undefined {
  const expectedBytes = PEER_ID_PREFIX.length + PUBLIC_KEY_BYTES;
  if (peerId.length > 2 * expectedBytes) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = base58btc.baseDecode(peerId);
  } catch {
    return undefined;
  }
  if (bytes.length !== expectedBytes || !PEER_ID_PREFIX.equals(bytes.subarray(0, PEER_ID_PREFIX.length)))
    return undefined;
  return bytes.subarray(PEER_ID_PREFIX.length);
}

/** True when `signature` over `bytes` was made with the private half of `publicKey` (32 bytes). */
export function verifyKeySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  return verify(null, bytes, asKey(publicKey), signature);
}

/** True when `signature` over `bytes` was made by the identity that `peerId` names. False for any malformed input. */
export function verifyPeerSignature(peerId: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean {
  const key = signature.length === SIGNATURE_BYTES ? keyOfPeer(peerId) : undefined;
  return key !== undefined && verify(null, bytes, key, signature);
}

/** Making a key costs as much as checking a signature, and a few peers sign most of what is checked. */
const MAX_KEPT_KEYS = 1024;
const keptKeys = new Map<PeerId, KeyObject>();

function keyOfPeer(peerId: PeerId): KeyObject | undefined {
  const kept = keptKeys.get(peerId);
  if (kept !== undefined) return kept;
  const publicKey = publicKeyOfPeerId(peerId);
  if (publicKey === undefined) return undefined;
  const key = asKey(publicKey);
  if (keptKeys.size >= MAX_KEPT_KEYS) keptKeys.clear();
  keptKeys.set(peerId, key);
  return key;
}

function asKey(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' });
}

/** Makes an identity that is kept nowhere. */
export function generateIdentity(): Identity {
  return identityOf(generateKeyPairSync('ed25519').privateKey);
}

/**
 * Reads the identity kept at `path`, or makes one and keeps it there (PKCS #8 PEM, mode 0600). Two processes that start
 * at once end with the same identity.
 * @throws {DockyardError} ERR_IDENTITY_INVALID
 */
export async function loadOrMakeIdentity(path: string): Promise<Identity> {
  return (await readIdentity(path)) ?? (await makeIdentity(path));
}

async function readIdentity(path: string): Promise<Identity | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw swarmError('ERR_IDENTITY_INVALID', `cannot read the identity file ${path}`, { cause: error });
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (error) {
    throw swarmError('ERR_IDENTITY_INVALID', `${path} holds no private key in PEM form`, { cause: error });
  }
  if (key.asymmetricKeyType === 'ed25519') return identityOf(key);
  throw swarmError('ERR_IDENTITY_INVALID', `${path} holds a key of type ${key.asymmetricKeyType}, not ed25519`);
}

async function makeIdentity(path: string): Promise<Identity> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const temporaryPath = `${path}.${randomUUID()}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporaryPath, 'wx', 0o600);
    try {
      await file.writeFile(privateKey.export({ format: 'pem', type: 'pkcs8' }));
      await file.sync();
    } finally {
      await file.close();
    }
    // A hard link, unlike a rename, fails if another process was faster: its identity is then taken.
    await link(temporaryPath, path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  } catch (error) {
    throw swarmError('ERR_IDENTITY_INVALID', `cannot write the identity file ${path}`, { cause: error });
  } finally {
    await rm(temporaryPath, { force: true });
  }
  await syncFolder(dirname(path));
  const identity = await readIdentity(path);
  if (identity === undefined)
    throw swarmError('ERR_IDENTITY_INVALID', `the identity file ${path} vanished while it was made`);
  return identity;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function identityOf(key: KeyObject): Identity {
  const jwk = key.export({ format: 'jwk' });
  const publicKey = Buffer.from(jwk.x ?? '', 'base64url');
  const seed = Buffer.from(jwk.d ?? '', 'base64url');
  return {
    peerId: peerIdOfPublicKey(publicKey),
    publicKey,
    privateKey: privateKeyFromRaw(Buffer.concat([seed, publicKey])),
    sign: (bytes) => sign(null, bytes, key),
  };
}
