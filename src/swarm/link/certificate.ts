/**
 * The certificate under which a node's data plane listens. It says nothing: it only lets TLS 1.3 agree on keys. Who is at
 * the other end, and that both hold the swarm key, is proved inside the connection and bound to it; see handshake.ts.
 */
import { generate } from 'selfsigned';

/** PEM texts of a key pair and its self-signed certificate. */
export interface LinkCertificate {
  readonly key: string;
  readonly cert: string;
}

/** Makes a fresh P-256 certificate; one for each start of a node, never written to disk. */
export async function createLinkCertificate(): Promise<LinkCertificate> {
  const pems = await generate([{ name: 'commonName', value: 'dockyard' }], { keyType: 'ec', curve: 'P-256' });
  return { key: pems.private, cert: pems.cert };
}
