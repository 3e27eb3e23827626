import { createPrivateKey, X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { createLinkCertificate } from '../../../../src/swarm/link/certificate.ts';
import { isInstalled, mustRun } from '../../../support/programs.ts';

test('a link certificate is signed by its own P-256 key, and never runs out', async () => {
  const { key, cert } = await createLinkCertificate();
  const parsed = new X509Certificate(cert);
  expect(parsed.verify(parsed.publicKey)).toBe(true);
  expect(parsed.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(parsed.subject).toBe('CN=dockyard');
  expect(parsed.checkIssued(parsed)).toBe(true);
  expect(parsed.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
  expect(parsed.validFromDate.getTime()).toBeLessThan(Date.now());
  expect(parsed.validToDate.getUTCFullYear()).toBe(9999);
});

test('every certificate has a key and a serial number of its own', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, createLinkCertificate));
  expect(new Set(made.map(({ key }) => key)).size).toBe(8);
  const serials = made.map(({ cert }) => new X509Certificate(cert).serialNumber);
  expect(new Set(serials).size).toBe(8);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
});

test.skipIf(!isInstalled('openssl'))('openssl finds nothing wrong with it', async () => {
  const { cert } = await createLinkCertificate();
  const text = await mustRun('sh', ['-c', 'echo "$1" | openssl x509 -noout -text', 'sh', cert]);
  expect(text).toMatch(/Signature Algorithm: ecdsa-with-SHA256[\s\S]*Not After : Dec 31 23:59:59 9999 GMT/);
});
