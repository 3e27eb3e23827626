/** Files that the configuration names: secrets and certificates. */
import { readFile } from 'node:fs/promises';
import { asError } from '../../src/oci/error.ts';
import { nodeError } from '../errors.ts';

/** The text of a file, or `undefined` where none is named. @param owner for messages: `upstream ghcr.io` @throws {DockyardError} ERR_CONFIG_UNREADABLE */
export async function readNamedText(path: string | undefined, owner: string): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `${owner}: cannot read ${path}: ${asError(error).message}`, {
      cause: error,
    });
  }
}

/**
 * The first line of a file, or `undefined` where none is named.
 * @param what what the line is to be: `the password`
 * @throws {DockyardError} ERR_CONFIG_UNREADABLE; ERR_CONFIG_INVALID when the line is empty
 */
export async function readNamedSecret(
  path: string | undefined,
  owner: string,
  what: string,
): Promise<string | undefined> {
  const text = await readNamedText(path, owner);
  if (text === undefined) return undefined;
  const [secret = ''] = text.split(/\r?\n/);
  if (secret !== '') return secret;
  throw nodeError('ERR_CONFIG_INVALID', `${owner}: the first line of ${path} is empty; it is to be ${what}`);
}
