/**
 * Image references as people write them: `alpine`, `ghcr.io/a/b:tag@sha256:…`, `localhost:5000/x`.
 * @see distribution/reference v0.6, the grammar in reference.go and normalize.go
 */
import { isDigest, type Digest } from './digest.ts';
import { ociError } from './errors.ts';
import { isRepositoryName, isTag, MAX_NAME_LENGTH, type RepositoryName, type Tag } from './name.ts';

/** The parts of an image reference; `host` is absent where the person left it to the default. */
export interface ImageReference {
  readonly host?: string;
  readonly name: RepositoryName;
  readonly tag?: Tag;
  readonly digest?: Digest;
}

const HOST_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const HOST_PATTERN = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);

/** Longest host by itself; DNS allows no more than 253 characters, and a port has five digits. */
const MAX_HOST_LENGTH = 259;

/** True when `text` is a host name or address with or without a port, in the grammar of image references. */
export function isHost(text: string): boolean {
  return text.length <= MAX_HOST_LENGTH && HOST_PATTERN.test(text);
}

/** Docker's rule for the first part of a name with slashes: does it name a host, rather than a user? */
export function looksLikeHost(firstPart: string): boolean {
  return /[.:]/.test(firstPart) || firstPart === 'localhost' || firstPart !== firstPart.toLowerCase();
}

/**
 * Reads an image reference from untrusted text. Nothing is added: `alpine` has no host, no tag and no `library/`.
 * @throws {DockyardError} ERR_REFERENCE_INVALID
 */
export function parseImageReference(text: string): ImageReference {
  const { rest: named, tail: digest } = splitAt(text, text.indexOf('@'));
  const colon = named.lastIndexOf(':');
  const { rest: path, tail: tag } = splitAt(named, colon > named.lastIndexOf('/') ? colon : -1);
  const slash = path.indexOf('/');
  const host = slash !== -1 && looksLikeHost(path.slice(0, slash)) ? path.slice(0, slash) : undefined;
  const name = host === undefined ? path : path.slice(slash + 1);
  if (host !== undefined && !isHost(host)) throw refuse(text, 'its host is malformed');
  if (!isRepositoryName(name)) throw refuse(text, 'its name is malformed');
  if (path.length > MAX_NAME_LENGTH) throw refuse(text, `host and name are longer than ${MAX_NAME_LENGTH} characters`);
  // Docker refuses these, because they would be taken for image ids.
  if (host === undefined && /^[a-f0-9]{64}$/.test(name)) throw refuse(text, '64 hexadecimal digits are no name');
  if (tag !== undefined && !isTag(tag)) throw refuse(text, 'its tag is malformed');
  if (digest !== undefined && !isDigest(digest)) throw refuse(text, 'its digest is not sha256 or sha512');
  return {
    ...(host === undefined ? {} : { host }),
    name,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The reference as text; `parseImageReference` reads it back. */
export function formatImageReference(reference: ImageReference): string {
  const host = reference.host === undefined ? '' : `${reference.host}/`;
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${host}${reference.name}${tag}${digest}`;
}

function splitAt(text: string, index: number): { rest: string; tail: string | undefined } {
  return index === -1 ? { rest: text, tail: undefined } : { rest: text.slice(0, index), tail: text.slice(index + 1) };
}

function refuse(text: string, why: string): Error {
  const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text;
  return ociError('ERR_REFERENCE_INVALID', `'${shown}' is not an image reference: ${why}`);
}
