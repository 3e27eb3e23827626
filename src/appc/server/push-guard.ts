/** Who may push: HTTP basic authentication, never over a network without encryption. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { appcError } from '../errors.ts';

/** Somebody who may push. */
export interface Pusher {
  readonly username: string;
  readonly password: string;
}

export interface PushGuardConfig {
  /** Without any, whoever reaches the seed may push, as with other images. */
  readonly pushers: readonly Pusher[];
  /** The seed is reached by https, of which something before it takes care. */
  readonly isBehindTls: boolean;
}

/** What is known of a request. */
export interface Visitor {
  readonly authorization: string | undefined;
  readonly clientAddress: string;
}

/** What a guard says. */
export type Verdict = 'welcome' | 'who-are-you' | 'not-in-the-open';

const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

/** Tells who may push. */
export class PushGuard {
  readonly #config: PushGuardConfig;

  constructor(config: PushGuardConfig) {
    this.#config = config;
  }

  check({ authorization, clientAddress }: Visitor): Verdict {
    const { isBehindTls, pushers } = this.#config;
    if (pushers.length === 0) return 'welcome';
    // A client of another machine that sends a password here has sent it in the open.
    if (!isBehindTls && !LOOPBACK.test(clientAddress)) return 'not-in-the-open';
    const given = /^basic +([a-z0-9+/=]{1,8192})$/i.exec(authorization ?? '')?.[1];
    if (given === undefined) return 'who-are-you';
    const hash = hashOf(Buffer.from(given, 'base64'));
    let isKnown = false;
    // All are compared, so that the time tells nothing of who is there.
    for (const { username, password } of pushers) {
      if (timingSafeEqual(hash, hashOf(Buffer.from(`${username}:${password}`)))) isKnown = true;
    }
    return isKnown ? 'welcome' : 'who-are-you';
  }
}

function hashOf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/**
 * Reads a file of those who may push: a line `name:password` for each; empty lines and those that begin with `#` are passed over.
 * @throws {DockyardError} ERR_PUSHERS_INVALID
 */
export function parsePushers(text: string, where: string): readonly Pusher[] {
  const pushers = text
    .split(/\r?\n/)
    .map((line, index) => ({ line: line.trim(), number: index + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, number }) => {
      const colon = line.indexOf(':');
      if (colon > 0 && colon < line.length - 1)
        return { username: line.slice(0, colon), password: line.slice(colon + 1) };
      throw appcError('ERR_PUSHERS_INVALID', `line ${number} of ${where} is not name:password`);
    });
  if (pushers.length === 0) throw appcError('ERR_PUSHERS_INVALID', `${where} names nobody`);
  return pushers;
}
