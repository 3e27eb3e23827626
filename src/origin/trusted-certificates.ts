/** Which certificates are trusted: the operator's own besides those of the system and of Node. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificates of a PEM file, each checked, because the TLS library passes over what it cannot read.
 * @throws {TypeError} and what OpenSSL says of a certificate that it cannot read
 */
export function certificatesOf(caPem: string | undefined): readonly string[] {
  if (caPem === undefined) return [];
  const certificates = caPem.match(PEM_CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new TypeError('it holds no PEM certificate');
  return certificates.map((certificate) => new X509Certificate(certificate).toString());
}

/**
 * Trust in the operator's certificates, the system's and Node's. The operator's come first: of several with one subject, and
 * many make their own `CN=localhost`, OpenSSL takes the first.
 */
export function trustedContext(own: readonly string[]): SecureContext {
  const certificates = new Set([...own, ...getCACertificates('default'), ...getCACertificates('system')]);
  return createSecureContext({ ca: [...certificates] });
}
