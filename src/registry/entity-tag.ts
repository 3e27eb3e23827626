/**
 * Entity tags and the conditions that clients tie to them. The tag of content is its digest, and always strong.
 * @see RFC 9110, sections 8.8.3 and 13.1
 */
import type { Digest } from '../oci/digest.ts';

/** `"sha256:…"`, for the ETag header. */
export function entityTag(digest: Digest): string {
  return `"${digest}"`;
}

/** True when an If-None-Match header names the tag, or is a star: then 304 is the answer. The comparison is weak. */
export function matchesIfNoneMatch(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((item) => item.trim().replace(/^W\//, '') === tag);
}

/**
 * True when a Range header is to be heeded beside this If-Range header, which is empty when there is none. The comparison is strong; a date never matches,
 * because no Last-Modified is ever sent.
 */
export function allowsRange(ifRange: string, tag: string): boolean {
  return ifRange === '' || ifRange.trim() === tag;
}
