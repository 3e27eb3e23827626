/** The public keys whose signatures are trusted. */
import type { PublicKey } from 'openpgp';
import { asError } from '../../oci/error.ts';
import { appcError } from '../errors.ts';

/** A file of keys, and what to call it in messages. */
export interface KeyFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Keys, read and checked. */
export interface Keyring {
  readonly keys: readonly PublicKey[];
  /** Upper-case hexadecimal digits, as gpg prints them. */
  readonly fingerprints: readonly string[];
  /** All keys in one armored block, as rkt reads them. */
  readonly armored: string;
}

/** Files of keys are small; more is not read. */
export const MAX_KEY_FILE_BYTES = 1024 * 1024;

const ARMORED_BLOCK = /-----BEGIN PGP [A-Z ]+-----[\s\S]*?-----END PGP [A-Z ]+-----/g;

/**
 * Reads files of public keys, armored or binary, each with one key or many.
 * @throws {DockyardError} ERR_KEY_INVALID for a file without a key, and for one with a private key, which must never be served
 */
export async function readKeyring(files: readonly KeyFile[]): Promise<Keyring> {
  // Loaded when it is needed: it takes a tenth of a second, and most nodes have no use for it.
  const { armor, enums } = await import('openpgp');
  const keys: PublicKey[] = [];
  for (const file of files) keys.push(...(await keysOf(file)));
  const packets = keys.map((key) => key.write());
  return {
    keys,
    fingerprints: keys.map((key) => key.getFingerprint().toUpperCase()),
    armored: keys.length === 0 ? '' : armor(enums.armor.publicKey, Buffer.concat(packets)),
  };
}

async function keysOf({ name, bytes }: KeyFile): Promise<PublicKey[]> {
  if (bytes.length > MAX_KEY_FILE_BYTES) throw invalid(name, `it is larger than ${MAX_KEY_FILE_BYTES} bytes`);
  const { readKeys } = await import('openpgp');
  const keys: PublicKey[] = [];
  try {
    const blocks = Buffer.from(bytes).toString('latin1').match(ARMORED_BLOCK);
    if (blocks === null) keys.push(...(await readKeys({ binaryKeys: Uint8Array.from(bytes) })));
    else for (const armoredKeys of blocks) keys.push(...(await readKeys({ armoredKeys })));
  } catch (cause) {
    throw invalid(name, asError(cause).message, cause);
  }
  if (keys.length === 0) throw invalid(name, 'it holds no key');
  if (keys.some((key) => key.isPrivate())) throw invalid(name, 'it holds a private key; only public ones belong there');
  return keys;
}

function invalid(name: string, what: string, cause?: unknown): Error {
  return appcError('ERR_KEY_INVALID', `the keys of ${name} cannot be used: ${what}`, { cause });
}
