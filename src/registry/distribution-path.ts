/**
 * Paths of the distribution specification. Repository names have any depth and may contain `blobs`, `manifests` or
 * `tags` as components, so a path is read from its right end; what is left is the name, still unchecked.
 * @see OCI distribution-spec v1.1, "Endpoints"
 */
import { registryError } from './errors.ts';

/** What a path asks for; the texts are untrusted. `nameText` may begin with the host of an upstream. */
export type DistributionPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'manifest'; readonly nameText: string; readonly referenceText: string }
  | { readonly kind: 'blob'; readonly nameText: string; readonly digestText: string }
  | { readonly kind: 'tags'; readonly nameText: string }
  | { readonly kind: 'referrers'; readonly nameText: string; readonly digestText: string }
  | { readonly kind: 'upload'; readonly nameText: string; readonly sessionText: string };

/** A request target, cut at its first `?`. */
export interface RequestTarget {
  readonly path: string;
  /** Without the `?`; empty when there is none. */
  readonly search: string;
}

const PLAIN_TARGET = /^\/[!-~]*$/;

/**
 * Splits the target of a request line. `%3A` is read as a colon, because careful clients encode the one in a digest;
 * no other encoding has a place in names, tags and digests, so a `%` that remains is refused.
 * @throws {DockyardError} ERR_TARGET_INVALID, also for the absolute form that proxies are asked with
 */
export function parseRequestTarget(target: string): RequestTarget {
  if (!PLAIN_TARGET.test(target)) throw registryError('ERR_TARGET_INVALID', 'the request target is not a plain path');
  const question = target.indexOf('?');
  const rawPath = question === -1 ? target : target.slice(0, question);
  const path = rawPath.includes('%') ? rawPath.replaceAll(/%3a/gi, ':') : rawPath;
  if (/[%\\]/.test(path)) throw registryError('ERR_TARGET_INVALID', 'the path has an encoding or a backslash');
  return { path, search: question === -1 ? '' : target.slice(question + 1) };
}

/** Reads a path; `undefined` when it is none of the specification's. Never throws. */
export function parseDistributionPath(path: string): DistributionPath | undefined {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  if (!path.startsWith('/v2/')) return undefined;
  const { head: beforeLast, last } = cutLast(path.slice('/v2/'.length));
  if (beforeLast === undefined) return undefined;
  const { head: nameText = '', last: noun } = cutLast(beforeLast);
  if (noun === 'blobs' && last === 'uploads') return { kind: 'upload', nameText, sessionText: '' };
  if (noun === 'blobs' && last !== '') return { kind: 'blob', nameText, digestText: last };
  if (noun === 'manifests' && last !== '') return { kind: 'manifest', nameText, referenceText: last };
  if (noun === 'referrers' && last !== '') return { kind: 'referrers', nameText, digestText: last };
  if (noun === 'tags' && last === 'list') return { kind: 'tags', nameText };
  if (noun === 'uploads') return parseUpload(nameText, last);
  return undefined;
}

/** `beforeUploads` is what stands before `/uploads/`: a name and `blobs`. */
function parseUpload(beforeUploads: string, sessionText: string): DistributionPath | undefined {
  const { head: nameText = '', last } = cutLast(beforeUploads);
  return last === 'blobs' ? { kind: 'upload', nameText, sessionText } : undefined;
}

/** Cuts at the last slash; `head` is undefined when there is none. */
function cutLast(text: string): { head: string | undefined; last: string } {
  const slash = text.lastIndexOf('/');
  return slash === -1 ? { head: undefined, last: text } : { head: text.slice(0, slash), last: text.slice(slash + 1) };
}
