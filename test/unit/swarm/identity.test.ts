import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  generateIdentity,
  loadOrMakeIdentity,
  peerIdOfPublicKey,
  publicKeyOfPeerId,
  verifyPeerSignature,
} from '../../../src/swarm/identity.ts';

describe('an identity', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-identity-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test('is made once, kept for its owner alone, and the same after a restart', async () => {
    const path = join(folder, 'data', 'identity.key');
    const made = await loadOrMakeIdentity(path);
    const again = await loadOrMakeIdentity(path);
    expect(again.peerId).toBe(made.peerId);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, 'data'))).toEqual(['identity.key']);
  });

  test('is the same for all who make it at once', async () => {
    const path = join(folder, 'identity.key');
    const made = await Promise.all(Array.from({ length: 5 }, () => loadOrMakeIdentity(path)));
    expect(new Set(made.map((identity) => identity.peerId)).size).toBe(1);
    expect(await readdir(folder)).toEqual(['identity.key']);
  });

  test('has the peer id that libp2p gives to its key', () => {
    const identity = generateIdentity();
    expect(peerIdFromPrivateKey(identity.privateKey).toString()).toBe(identity.peerId);
    expect(publicKeyOfPeerId(identity.peerId)).toEqual(new Uint8Array(identity.publicKey));
  });

  test('makes signatures that libp2p accepts, and accepts those of libp2p', async () => {
    const identity = generateIdentity();
    const bytes = Buffer.from('something to sign');
    expect(await identity.privateKey.publicKey.verify(bytes, identity.sign(bytes))).toBe(true);
    expect(verifyPeerSignature(identity.peerId, bytes, await identity.privateKey.sign(bytes))).toBe(true);
  });

  test('is not taken for another', () => {
    const [one, other] = [generateIdentity(), generateIdentity()];
    const bytes = Buffer.from('something to sign');
    expect(verifyPeerSignature(other.peerId, bytes, one.sign(bytes))).toBe(false);
    expect(verifyPeerSignature(one.peerId, Buffer.from('something else'), one.sign(bytes))).toBe(false);
  });

  test('that is damaged is an error which names the file', async () => {
    const path = join(folder, 'identity.key');
    await writeFile(path, 'not a key');
    await expect(loadOrMakeIdentity(path)).rejects.toMatchObject({
      code: 'ERR_IDENTITY_INVALID',
      message: expect.stringContaining(path) as unknown,
    });
  });

  test('that cannot be kept is an error, not an identity of the hour', async () => {
    await writeFile(join(folder, 'file'), '');
    await chmod(join(folder, 'file'), 0o600);
    await expect(loadOrMakeIdentity(join(folder, 'file', 'identity.key'))).rejects.toMatchObject({
      code: 'ERR_IDENTITY_INVALID',
    });
  });
});

describe('a peer id', () => {
  test('leads to its key and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
        expect(publicKeyOfPeerId(peerIdOfPublicKey(key))).toEqual(key);
      }),
    );
  });

  test('of any other text leads nowhere, and fails no check by throwing', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 70 }), (text, signature) => {
        expect(publicKeyOfPeerId(text)).toBeUndefined();
        expect(verifyPeerSignature(text, signature, signature)).toBe(false);
      }),
    );
  });
});
