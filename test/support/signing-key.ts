/** Keys and signatures made on the spot; tests that need the real gpg call it themselves. */
import { createMessage, generateKey, readPrivateKey, sign } from 'openpgp';

/** A key that signs. */
export interface SigningKey {
  readonly publicKey: string;
  readonly privateKey: string;
  /** A detached, armored signature. */
  sign(bytes: Uint8Array): Promise<string>;
}

/** Makes a key. @param date when it was made; signatures are made at that time too */
export async function makeSigningKey(name: string, date = new Date(Date.now() - 60_000)): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKey({
    type: 'ecc',
    userIDs: [{ name, email: `${name}@example.com` }],
    date,
    format: 'armored',
  });
  const signingKeys = await readPrivateKey({ armoredKey: privateKey });
  return {
    publicKey,
    privateKey,
    sign: async (bytes) =>
      (await sign({
        message: await createMessage({ binary: bytes }),
        signingKeys,
        detached: true,
        format: 'armored',
        date,
      })) as string,
  };
}
