import { beforeAll, describe, expect, test } from 'vitest';
import { readKeyring, type Keyring } from '../../../src/appc/signature/keyring.ts';
import { parseAppReference } from '../../../src/appc/values/app-reference.ts';
import { parseImageId } from '../../../src/appc/values/image-id.ts';
import { verifyAci, type AciExpectation } from '../../../src/appc/verify-aci.ts';
import { chunksOf, packed, testImage } from '../../support/aci-builder.ts';
import { makeSigningKey, type SigningKey } from '../../support/signing-key.ts';

const NAME = 'example.com/app';
const image = packed(testImage(NAME, { body: Buffer.alloc(300_000, 'x') }), 'gzip');

let key: SigningKey;
let stranger: SigningKey;
let keyring: Keyring;

beforeAll(async () => {
  [key, stranger] = await Promise.all([makeSigningKey('builder'), makeSigningKey('stranger')]);
  keyring = await readKeyring([{ name: 'keys', bytes: Buffer.from(key.publicKey) }]);
});

async function verify(bytes: Uint8Array, expected: AciExpectation) {
  return await verifyAci(chunksOf(bytes), expected, { nowMs: Date.now() });
}

async function signedBy(by: SigningKey, bytes: Uint8Array = image): Promise<AciExpectation> {
  return { signed: { signature: Buffer.from(await by.sign(bytes)), keyring } };
}

describe('a signature', () => {
  test('of a trusted key names its maker', async () => {
    const { signedBy: maker } = await verify(image, await signedBy(key));
    expect(maker?.fingerprint).toBe(keyring.fingerprints[0]);
  });

  test('for another file is refused', async () => {
    const other = await signedBy(key, Buffer.from('another file'));
    await expect(verify(image, other)).rejects.toMatchObject({
      code: 'ERR_SIGNATURE_INVALID',
      message: expect.stringContaining('made for another file') as string,
    });
  });

  test('of a stranger is refused', async () => {
    await expect(verify(image, await signedBy(stranger))).rejects.toMatchObject({
      code: 'ERR_SIGNATURE_INVALID',
      message: expect.stringContaining('none of the trusted keys') as string,
    });
  });

  test('that is none, is empty or is too large is refused', async () => {
    for (const signature of [
      Buffer.from('no signature'),
      Buffer.alloc(0),
      Buffer.alloc(100_000),
      image.subarray(0, 999),
    ])
      await expect(verify(image, { signed: { signature, keyring } })).rejects.toMatchObject({
        code: 'ERR_SIGNATURE_INVALID',
      });
  });

  test('made by a key of the future is refused', async () => {
    const early = Date.now() - 3_600_000;
    const expected = await signedBy(key);
    await expect(verifyAci(chunksOf(image), expected, { nowMs: early })).rejects.toMatchObject({
      code: 'ERR_SIGNATURE_INVALID',
    });
  });

  test('by a key whose time is over counts if it was made before that; by one that was taken back it never does', async () => {
    const hourAgo = new Date(Date.now() - 3_600_000);
    const old = await makeSigningKey('old', hourAgo);
    const [before, after] = await Promise.all([old.sign(image), old.sign(image, new Date(Date.now() - 1_000))]);
    const outcome = async (publicKey: string, signature: string): Promise<unknown> => {
      const keys = await readKeyring([{ name: 'old', bytes: Buffer.from(publicKey) }]);
      const verifying = verify(image, { signed: { signature: Buffer.from(signature), keyring: keys } });
      return await verifying.then(
        () => 'good',
        (error: unknown) => error,
      );
    };
    const expiring = await old.expiring(60);
    expect(await outcome(expiring, before)).toBe('good');
    const refused = { code: 'ERR_SIGNATURE_INVALID' };
    expect(await outcome(expiring, after)).toMatchObject(refused);
    const revoked = await old.revoked();
    expect(await outcome(revoked, before)).toMatchObject(refused);
    expect(await outcome(revoked, after)).toMatchObject(refused);
  });

  test('is checked by any of several keys', async () => {
    const files = [stranger, key].map(({ publicKey }) => publicKey).join('\n');
    const both = await readKeyring([{ name: 'both', bytes: Buffer.from(files) }]);
    expect(both.fingerprints).toHaveLength(2);
    const again = await readKeyring([{ name: 'as served', bytes: Buffer.from(both.armored) }]);
    expect(again.fingerprints).toEqual(both.fingerprints);
    const { signed } = await signedBy(key);
    const signature = signed?.signature ?? Buffer.alloc(0);
    await expect(verify(image, { signed: { signature, keyring: again } })).resolves.toMatchObject({
      signedBy: { fingerprint: keyring.fingerprints[0] },
    });
  });
});

describe('keys', () => {
  test('that are private are refused, for they would be served', async () => {
    const bytes = Buffer.from(key.privateKey);
    await expect(readKeyring([{ name: 'secret.asc', bytes }])).rejects.toMatchObject({
      code: 'ERR_KEY_INVALID',
      message: expect.stringContaining('secret.asc') as string,
    });
  });

  test('that are none are refused', async () => {
    for (const bytes of [Buffer.from('hello'), Buffer.alloc(0), Buffer.alloc(2 * 1024 * 1024)])
      await expect(readKeyring([{ name: 'k', bytes }])).rejects.toMatchObject({ code: 'ERR_KEY_INVALID' });
  });
});

describe('what was meant', () => {
  test('an image of the name, the labels and the ID', async () => {
    const { imageId } = await verify(image, {});
    const reference = parseAppReference(`${NAME}:1.0,os=linux`);
    await expect(verify(image, { reference, imageId })).resolves.toMatchObject({ imageId });
    await expect(verify(image, { reference: parseAppReference(`${NAME}:latest`) })).resolves.toMatchObject({ imageId });
  });

  test.each(['example.com/other', `${NAME}:2.0`, `${NAME}:1.0,os=freebsd`, `${NAME},flavour=mint`])(
    'is not %s',
    async (text) => {
      await expect(verify(image, { reference: parseAppReference(text) })).rejects.toMatchObject({
        code: 'ERR_ACI_MISMATCH',
      });
    },
  );

  test('is no image of another ID', async () => {
    const imageId = parseImageId(`sha512-${'0'.repeat(128)}`);
    await expect(verify(image, { imageId })).rejects.toMatchObject({ code: 'ERR_ACI_MISMATCH' });
  });
});

test('an image that is no image is told, whatever its signature', async () => {
  const junk = Buffer.alloc(10_000, 'junk');
  await expect(verify(junk, await signedBy(key, junk))).rejects.toMatchObject({ code: 'ERR_ACI_INVALID' });
});
