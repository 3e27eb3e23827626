/** Detached OpenPGP signatures (`.aci.asc`), checked while the file flows by. */
import type { Signature } from 'openpgp';
import { asError } from '../../oci/error.ts';
import { appcError } from '../errors.ts';
import type { Keyring } from './keyring.ts';

/** Signature files are smaller than this. */
export const MAX_SIGNATURE_BYTES = 64 * 1024;

/** Each is checked on its own pass of the hash, so there is an end to them. */
const MAX_SIGNATURES = 8;

/** Who signed a file. */
export interface SignatureFacts {
  /** Of the primary key, upper-case hexadecimal digits. */
  readonly fingerprint: string;
}

/** What a check is told. */
export interface SignatureCheck {
  /** The signature file, armored or binary. */
  readonly signature: Uint8Array;
  readonly keyring: Keyring;
  readonly nowMs: number;
}

/**
 * Checks that a trusted key signed these bytes; they are read to their end.
 * @throws {DockyardError} ERR_SIGNATURE_INVALID; what the source throws
 */
export async function checkSignature(
  content: AsyncIterable<Uint8Array>,
  { signature, keyring, nowMs }: SignatureCheck,
): Promise<SignatureFacts> {
  const { createMessage, verify } = await import('openpgp');
  const parsed = await parseSignature(signature);
  const message = await createMessage({ binary: ReadableStream.from<Uint8Array>(content) });
  const checking = await verify({
    message,
    signature: parsed,
    verificationKeys: [...keyring.keys],
    format: 'binary',
    date: new Date(nowMs),
  });
  const { signatures } = checking;
  const verdicts = Promise.allSettled(signatures.map(async ({ verified }) => await verified));
  // The bytes are handed on by the check as it goes; reading them is what makes it go.
  const reader = (checking.data as unknown as ReadableStream<Uint8Array>).getReader();
  while (!(await reader.read()).done);
  const settled = await verdicts;
  const good = signatures.findIndex((_, index) => settled[index]?.status === 'fulfilled');
  const keyId = signatures[good]?.keyID;
  const key = keyId === undefined ? undefined : keyring.keys.find((one) => one.getKeys(keyId).length > 0);
  if (key !== undefined) return { fingerprint: key.getFingerprint().toUpperCase() };
  const failed = settled.find((verdict) => verdict.status === 'rejected');
  throw refused(whyRefused(failed?.reason), failed?.reason);
}

/** A signature file, checked for its form alone. @throws {DockyardError} ERR_SIGNATURE_INVALID */
export async function parseSignature(bytes: Uint8Array): Promise<Signature> {
  if (bytes.length > MAX_SIGNATURE_BYTES) throw refused(`it is larger than ${MAX_SIGNATURE_BYTES} bytes`);
  const { readSignature } = await import('openpgp');
  let parsed: Signature;
  try {
    const text = Buffer.from(bytes).toString('latin1');
    parsed = text.includes('-----BEGIN PGP SIGNATURE-----')
      ? await readSignature({ armoredSignature: text })
      : await readSignature({ binarySignature: Uint8Array.from(bytes) });
  } catch (cause) {
    throw refused(`it is no OpenPGP signature: ${asError(cause).message}`, cause);
  }
  const count = parsed.packets.length;
  if (count < 1 || count > MAX_SIGNATURES) throw refused(`it holds ${count} signatures`);
  return parsed;
}

function whyRefused(reason: unknown): string {
  const message = reason === undefined ? 'it holds no signature' : asError(reason).message;
  if (message.includes('digest did not match')) return 'it was made for another file';
  if (message.includes('Could not find signing key')) return 'none of the trusted keys made it';
  return message;
}

function refused(what: string, cause?: unknown): Error {
  return appcError('ERR_SIGNATURE_INVALID', `the signature cannot be trusted: ${what}`, { cause });
}
