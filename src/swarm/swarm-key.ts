/**
 * The swarm key: 32 secret bytes that all members hold, in libp2p's file form for pre-shared keys.
 *
 * libp2p connections use the key itself, so that the file means the same here as to any libp2p program; everything else
 * derives its own key from it, so that no two uses ever share one.
 * @see libp2p specs, pnet/Private-Networks-PSK-V1.md
 */
import { hkdfSync } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { swarmError } from './errors.ts';

const HEADER = '/key/swarm/psk/1.0.0/';
const KEY_BYTES = 32;

/** A file larger than this is no key file, and is not read to its end. */
const MAX_FILE_BYTES = 4096;

/** The secret that members share. Never logged: it shows nothing of itself when printed. */
export class SwarmKey {
  readonly #bytes: Buffer;

  /** @param bytes exactly 32 */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== KEY_BYTES) throw new RangeError(`a swarm key has ${KEY_BYTES} bytes, not ${bytes.length}`);
    this.#bytes = Buffer.from(bytes);
  }

  /** 32 bytes for one purpose, by HKDF-SHA256; different for every purpose. */
  deriveKey(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#bytes, Buffer.alloc(0), `dockyard ${purpose}`, KEY_BYTES));
  }

  /** The text of a key file in its usual form (base16), newline included. Secret. */
  toFileText(): string {
    return `${HEADER}\n/base16/\n${this.#bytes.toString('hex')}\n`;
  }
}

/** Makes a key file's text from 32 random bytes. */
export function generateSwarmKey(randomBytes: (count: number) => Uint8Array): SwarmKey {
  return new SwarmKey(randomBytes(KEY_BYTES));
}

/**
 * Reads the content of a key file: header line, encoding line (`/base16/`, `/base64/` or `/bin/`), key.
 * @param origin what to call the content in messages: a path
 * @throws {DockyardError} ERR_SWARM_KEY_INVALID, saying which line is wrong and what was expected
 */
export function parseSwarmKey(content: Uint8Array, origin: string): SwarmKey {
  const [header, afterHeader] = takeLine(Buffer.from(content));
  if (header !== HEADER) throw invalid(origin, `its first line is not '${HEADER}'`);
  const [encoding, body] = takeLine(afterHeader);
  const bytes = decodeBody(encoding, body, origin);
  if (bytes.length !== KEY_BYTES) throw invalid(origin, `its key has ${bytes.length} bytes, not ${KEY_BYTES}`);
  return new SwarmKey(bytes);
}

/**
 * Reads a key file, and warns when every user of the machine can read it too.
 * @throws {DockyardError} ERR_SWARM_KEY_INVALID
 */
export async function loadSwarmKey(path: string, log: Logger): Promise<SwarmKey> {
  let content: Buffer;
  try {
    const facts = await stat(path);
    if (!facts.isFile() || facts.size > MAX_FILE_BYTES) throw invalid(path, 'it is not a small regular file');
    if ((facts.mode & 0o004) !== 0) log.warn({ path }, 'swarm key file is readable by everyone: run chmod 600 on it');
    content = await readFile(path);
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw invalid(path, 'it does not exist', error);
    if (code === 'EACCES') throw invalid(path, 'the user of this process may not read it (chown, chmod 400)', error);
    if (errno !== undefined) throw invalid(path, `it cannot be read (${code ?? 'unknown'})`, error);
    throw error;
  }
  return parseSwarmKey(content, path);
}

function takeLine(bytes: Buffer): [line: string, rest: Buffer] {
  const end = bytes.indexOf(0x0a);
  const line = end === -1 ? bytes : bytes.subarray(0, end);
  return [line.toString('latin1').trim(), end === -1 ? Buffer.alloc(0) : bytes.subarray(end + 1)];
}

function decodeBody(encoding: string, body: Buffer, origin: string): Buffer {
  const text = body.toString('latin1').trim();
  switch (encoding) {
    case '/base16/':
      if (/^(?:[0-9a-fA-F]{2})*$/.test(text)) return Buffer.from(text, 'hex');
      throw invalid(
        origin,
        `its key has ${text.length} characters that are not all hexadecimal digits in pairs; 64 are expected`,
      );
    case '/base64/':
      if (/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return Buffer.from(text, 'base64');
      throw invalid(origin, 'its key is not base64');
    case '/bin/':
      // Editors append a newline; a key may itself end in that byte, so only a 33rd byte is taken for one.
      return body.length === KEY_BYTES + 1 && body[KEY_BYTES] === 0x0a ? body.subarray(0, KEY_BYTES) : body;
    default:
      throw invalid(origin, `its second line is not '/base16/', '/base64/' or '/bin/'`);
  }
}

function invalid(origin: string, reason: string, cause?: unknown): Error {
  const remedy = 'make a key with `dockyard key` and give every node the same file';
  return swarmError('ERR_SWARM_KEY_INVALID', `the swarm key file ${origin} cannot be used: ${reason}; ${remedy}`, {
    cause,
  });
}
