/** What a person trusts of an app container image: whose signature, which image ID. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { MAX_SIGNATURE_BYTES } from '../../src/appc/signature/detached-signature.ts';
import { MAX_KEY_FILE_BYTES, readKeyring, type Keyring } from '../../src/appc/signature/keyring.ts';
import { parseImageId, type ImageId } from '../../src/appc/values/image-id.ts';
import { asError } from '../../src/oci/error.ts';
import { nodeError } from '../errors.ts';

/** The flags about trust; paths are absolute. */
export interface TrustFlags {
  readonly key?: readonly string[];
  readonly unsigned?: boolean;
  readonly signature?: string;
  readonly imageId?: string;
}

/** What must hold of an image. */
export interface AciTrust {
  /** `undefined` where no signature is asked for. */
  readonly keyring: Keyring | undefined;
  /** A signature that was given by hand. */
  readonly signature: Buffer | undefined;
  readonly imageId: ImageId | undefined;
}

/** The flags with absolute paths; `undefined` when none of them was given. */
export function trustOfFlags(flags: TrustFlags, workingDirectory: string): TrustFlags | undefined {
  const { key, signature, unsigned, imageId } = flags;
  const given = {
    ...(key === undefined ? {} : { key: key.map((path) => resolve(workingDirectory, path)) }),
    ...(signature === undefined ? {} : { signature: resolve(workingDirectory, signature) }),
    ...(unsigned === undefined ? {} : { unsigned }),
    ...(imageId === undefined ? {} : { imageId }),
  };
  return Object.keys(given).length === 0 ? undefined : given;
}

/**
 * Reads what the flags name.
 * @throws {DockyardError} ERR_USAGE when nobody's signature is trusted and that was not said to be meant; ERR_KEY_INVALID
 */
export async function readTrust(flags: TrustFlags): Promise<AciTrust> {
  const { key = [], unsigned } = flags;
  const imageId = flags.imageId === undefined ? undefined : parseImageId(flags.imageId);
  if (unsigned === true && key.length > 0) throw nodeError('ERR_USAGE', 'give --key or --unsigned, not both');
  if (key.length === 0 && unsigned !== true) {
    throw nodeError('ERR_USAGE', 'whose signature an app must have was not said: add --key FILE, or --unsigned');
  }
  const files: { name: string; bytes: Buffer }[] = [];
  for (const name of key) files.push({ name, bytes: await readSmall(name, '--key', MAX_KEY_FILE_BYTES) });
  const signature =
    flags.signature === undefined ? undefined : await readSmall(flags.signature, '--signature', MAX_SIGNATURE_BYTES);
  return { keyring: files.length === 0 ? undefined : await readKeyring(files), signature, imageId };
}

async function readSmall(path: string, flag: string, maxBytes: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes; at most ${maxBytes} are read`);
    return await readFile(path);
  } catch (error) {
    throw nodeError('ERR_USAGE', `${flag}: ${asError(error).message}`, { cause: error });
  }
}
