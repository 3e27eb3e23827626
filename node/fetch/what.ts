/**
 * What a person asks `dockyard fetch` for, told by its form alone.
 * @see docs/decisions for how a name of an image and one of an app container are told apart
 */
import { isDigest, parseDigest, type Digest } from '../../src/oci/digest.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { isHost, parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import { nodeError } from '../errors.ts';

/** A thing to fetch. */
export type Wanted =
  | { readonly kind: 'magnet'; readonly uri: string }
  /** A torrent file, by path or by URL. */
  | { readonly kind: 'torrent'; readonly location: string; readonly isUrl: boolean }
  | { readonly kind: 'digest'; readonly digest: Digest }
  | WantedName;

/** An image or an app container. */
export interface WantedName {
  readonly kind: 'name';
  /** As it was written, without its scheme. */
  readonly text: string;
  /** How to speak to its host, where that was said. */
  readonly scheme: 'http' | 'https' | undefined;
  /** Absent where it can be no image. */
  readonly reference: ImageReference | undefined;
}

/** Reads what was asked for. @throws {DockyardError} ERR_USAGE, ERR_DIGEST_INVALID */
export function parseWanted(text: string): Wanted {
  if (/^magnet:/i.test(text)) return { kind: 'magnet', uri: text };
  if (isDigest(text)) return { kind: 'digest', digest: text };
  // A digest with a slip of the pen is no name of an image with a strange tag.
  if (/^sha\d+:/i.test(text)) return { kind: 'digest', digest: parseDigest(text) };
  const isUrl = /^https?:\/\//i.test(text);
  if (/\.torrent(?:[?#].*)?$/i.test(text) && (isUrl || !text.includes('?'))) {
    return { kind: 'torrent', location: text, isUrl };
  }
  return parseName(text);
}

/** Reads a name: `alpine:3`, `http://registry.lan:5000/team/app@sha256:…`, `example.com/app:1.0,os=linux`. */
function parseName(text: string): WantedName {
  const [, schemeText, rest = ''] = /^(?:(https?):\/\/)?(.*)$/is.exec(text) ?? [];
  const scheme = schemeText === undefined ? undefined : schemeText.toLowerCase() === 'http' ? 'http' : 'https';
  const host = scheme === undefined ? undefined : rest.slice(0, Math.max(0, rest.indexOf('/')));
  if (host !== undefined && !isHost(host)) {
    throw nodeError('ERR_USAGE', `'${text.slice(0, 160)}' is neither an image, an app nor a torrent`);
  }
  return { kind: 'name', text: rest, scheme, reference: referenceOrUndefined(rest, host) };
}

/** @param host set where the first part is a host, whatever it looks like */
function referenceOrUndefined(text: string, host: string | undefined): ImageReference | undefined {
  try {
    if (host === undefined) return parseImageReference(text);
    const { host: inner, name, ...rest } = parseImageReference(text.slice(host.length + 1));
    return { ...rest, host, name: inner === undefined ? name : parseRepositoryName(`${inner}/${name}`) };
  } catch (error) {
    if (isDockyardError(error)) return undefined;
    throw error;
  }
}
