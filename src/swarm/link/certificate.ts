/**
 * The certificate under which a node's data plane listens. It says nothing: it only lets TLS 1.3 agree on keys. Who is at
 * the other end, and that both hold the swarm key, is proved inside the connection and bound to it; see handshake.ts.
 *
 * It is always the same but for its key and its serial number, so its few elements are written here, by RFC 5280 in DER. A library that
 * can write every certificate takes two hundred modules and a tenth of the time in which a node starts.
 */
import { generateKeyPair, randomBytes, sign } from 'node:crypto';
import { promisify } from 'node:util';

/** PEM texts of a key pair and its self-signed certificate. */
export interface LinkCertificate {
  readonly key: string;
  readonly cert: string;
}

const TAG = {
  integer: 0x02,
  bitString: 0x03,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256. */
const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex');
/** 2.5.4.3, commonName. */
const COMMON_NAME = Buffer.from('550403', 'hex');
/** From a day that no clock is behind to the day that RFC 5280 (4.1.2.5) has for "no end". */
const NOT_BEFORE = '200101000000Z';
const NOT_AFTER = '99991231235959Z';
const SERIAL_BYTES = 16;

/** Makes a fresh P-256 certificate; one for each start of a node, never written to disk. */
export async function createLinkCertificate(): Promise<LinkCertificate> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const algorithm = element(TAG.sequence, element(TAG.objectId, ECDSA_WITH_SHA256));
  const attribute = element(
    TAG.sequence,
    element(TAG.objectId, COMMON_NAME),
    element(TAG.utf8String, Buffer.from('dockyard')),
  );
  const name = element(TAG.sequence, element(TAG.set, attribute));
  const validity = element(
    TAG.sequence,
    element(TAG.utcTime, Buffer.from(NOT_BEFORE)),
    element(TAG.generalizedTime, Buffer.from(NOT_AFTER)),
  );
  const keyInfo = publicKey.export({ type: 'spki', format: 'der' });
  // Without extensions it is of version 1, which is said by leaving the version out.
  const content = element(TAG.sequence, serialNumber(), algorithm, name, validity, name, keyInfo);
  const signature = element(TAG.bitString, Buffer.of(0), sign('sha256', content, privateKey));
  const certificate = element(TAG.sequence, content, algorithm, signature);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return { key: key.toString(), cert: toPem(certificate) };
}

/** A positive number of always the same length. */
function serialNumber(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return element(TAG.integer, bytes);
}

/** An element of DER: its tag, its length, its content. */
function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function toPem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
