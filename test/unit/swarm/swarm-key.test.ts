import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import { generateSwarmKey, loadSwarmKey, parseSwarmKey, SwarmKey } from '../../../src/swarm/swarm-key.ts';

const silent = pino({ level: 'silent' });
const key32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const parse = (text: string | Uint8Array) => parseSwarmKey(Buffer.from(text as string), 'swarm.key');

describe('a swarm key', () => {
  test('is read back from the text it is written as', () => {
    fc.assert(
      fc.property(key32, (bytes) => {
        const key = new SwarmKey(bytes);
        expect(parse(key.toFileText()).toFileText()).toBe(key.toFileText());
      }),
    );
  });

  test('is the same in base16, base64 and binary', () => {
    fc.assert(
      fc.property(key32, (bytes) => {
        const expected = new SwarmKey(bytes).toFileText();
        const base64 = `/key/swarm/psk/1.0.0/\n/base64/\n${Buffer.from(bytes).toString('base64')}`;
        const binary = Buffer.concat([Buffer.from('/key/swarm/psk/1.0.0/\n/bin/\n'), bytes]);
        expect(parse(base64).toFileText()).toBe(expected);
        expect(parse(binary).toFileText()).toBe(expected);
        expect(parse(expected.replaceAll('\n', '\r\n')).toFileText()).toBe(expected);
      }),
    );
  });

  test('gives each purpose its own key, and the same one every time', () => {
    const key = new SwarmKey(Buffer.alloc(32, 7));
    expect(key.deriveKey('link')).toEqual(new SwarmKey(Buffer.alloc(32, 7)).deriveKey('link'));
    expect(key.deriveKey('link')).not.toEqual(key.deriveKey('else'));
    expect(key.deriveKey('link')).not.toEqual(Buffer.alloc(32, 7));
  });

  test('shows nothing of itself when it is printed', () => {
    const key = generateSwarmKey(randomBytes);
    expect(JSON.stringify(key)).toBe('{}');
  });

  test.each([
    ['', 'first line'],
    ['/key/swarm/psk/2.0.0/\n/base16/\n00', 'first line'],
    ['/key/swarm/psk/1.0.0/\n/base32/\n00', 'second line'],
    ['/key/swarm/psk/1.0.0/\n/base16/\n0011', '2 bytes, not 32'],
    [`/key/swarm/psk/1.0.0/\n/base16/\n${'g'.repeat(64)}`, 'hexadecimal'],
    ['/key/swarm/psk/1.0.0/\n/base64/\n!!!', 'not base64'],
    ['/key/swarm/psk/1.0.0/\n/bin/\nshort', '5 bytes, not 32'],
  ])('%j is refused with the reason', (text, reason) => {
    expect(() => parse(text)).toThrow(reason);
  });

  test('of any content is either read or refused by code', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('', '/key/swarm/psk/1.0.0/\n', '/key/swarm/psk/1.0.0/\n/base16/\n'),
        (bytes, prefix) => {
          try {
            parseSwarmKey(Buffer.concat([Buffer.from(prefix), bytes]), 'f');
          } catch (error) {
            expect(isDockyardError(error, 'ERR_SWARM_KEY_INVALID')).toBe(true);
          }
        },
      ),
    );
  });
});

describe('a swarm key file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-key-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test('that is missing is an error which says what to do', async () => {
    await expect(loadSwarmKey(join(folder, 'none'), silent)).rejects.toMatchObject({
      code: 'ERR_SWARM_KEY_INVALID',
      message: expect.stringMatching(/does not exist.*dockyard key/) as unknown,
    });
  });

  test('that is no small file is refused', async () => {
    await expect(loadSwarmKey(folder, silent)).rejects.toMatchObject({ code: 'ERR_SWARM_KEY_INVALID' });
    await expect(loadSwarmKey('/dev/zero', silent)).rejects.toMatchObject({ code: 'ERR_SWARM_KEY_INVALID' });
  });

  test('that everyone can read is used, with a warning', async () => {
    const lines: string[] = [];
    const log = pino({}, new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) }));
    const path = join(folder, 'swarm.key');
    const key = generateSwarmKey(randomBytes);
    await writeFile(path, key.toFileText());
    await chmod(path, 0o644);
    expect((await loadSwarmKey(path, log)).toFileText()).toBe(key.toFileText());
    expect(lines.join('')).toContain('readable by everyone');
    await chmod(path, 0o600);
    lines.length = 0;
    await loadSwarmKey(path, log);
    expect(lines).toEqual([]);
  });
});
