/**
 * Signatures of notifications, by which a receiver knows who sent them and that they are whole, and by their time that they
 * are not sent again by someone else. Libraries that check them exist for most languages.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"
 */
import { createHmac } from 'node:crypto';

/** A secret that begins so is the key in base64; any other is the key itself. */
const ENCODED_PREFIX = 'whsec_';

/** What is signed. */
export interface SignedMessage {
  /** The same for all deliveries of one event. */
  readonly id: string;
  readonly sentAtMs: number;
  readonly body: string;
}

/** The headers `webhook-id`, `webhook-timestamp` and, with a secret, `webhook-signature`. */
export function signatureHeaders(message: SignedMessage, secret: string | undefined): Record<string, string> {
  const timestamp = String(Math.floor(message.sentAtMs / 1000));
  const headers = { 'webhook-id': message.id, 'webhook-timestamp': timestamp };
  if (secret === undefined) return headers;
  const signed = `${message.id}.${timestamp}.${message.body}`;
  const signature = createHmac('sha256', secretKey(secret)).update(signed).digest('base64');
  return { ...headers, 'webhook-signature': `v1,${signature}` };
}

function secretKey(secret: string): Buffer {
  return secret.startsWith(ENCODED_PREFIX)
    ? Buffer.from(secret.slice(ENCODED_PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
}
