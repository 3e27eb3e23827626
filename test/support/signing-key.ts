/** Keys and signatures made on the spot; tests that need the real gpg call it themselves. */
import { createMessage, generateKey, readPrivateKey, reformatKey, revokeKey, sign } from 'openpgp';

/** A key that signs. */
export interface SigningKey {
  readonly publicKey: string;
  readonly privateKey: string;
  /** A detached, armored signature. @param date when it says that it was made; when the key was, if left out */
  sign(bytes: Uint8Array, date?: Date): Promise<string>;
  /** The same public key, as one that was taken back, or whose time was over some seconds after it was made. */
  revoked(): Promise<string>;
  expiring(afterSeconds: number): Promise<string>;
}

/** Makes a key. @param date when it was made; signatures are made at that time too */
export async function makeSigningKey(name: string, date = new Date(Date.now() - 60_000)): Promise<SigningKey> {
  const userIDs = [{ name, email: `${name}@example.com` }];
  const { publicKey, privateKey } = await generateKey({
    type: 'ecc',
    userIDs,
    date,
    format: 'armored',
  });
  const signingKeys = await readPrivateKey({ armoredKey: privateKey });
  return {
    publicKey,
    privateKey,
    revoked: async () => (await revokeKey({ key: signingKeys, format: 'armored' })).publicKey,
    expiring: async (keyExpirationTime) =>
      (await reformatKey({ privateKey: signingKeys, userIDs, keyExpirationTime, date, format: 'armored' })).publicKey,
    sign: async (bytes, signedAt = date) =>
      (await sign({
        message: await createMessage({ binary: bytes }),
        signingKeys,
        detached: true,
        format: 'armored',
        date: signedAt,
      })) as string,
  };
}
