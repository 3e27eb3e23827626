/**
 * Docker's `config.json`, as far as it tells credentials.
 * @see docker/cli: cli/config/configfile; containers/image: docs/containers-auth.json.5.md
 */
import type { Credentials } from './credentials.ts';
import { originError } from './errors.ts';

/** The key under which Docker keeps the credentials of Docker Hub, for historical reasons a URL. */
export const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/** Where credentials of a registry are to be had. */
export type CredentialPlace =
  | { readonly kind: 'inline'; readonly credentials: Credentials }
  /** `docker-credential-<helper>`, asked for `server`. */
  | { readonly kind: 'helper'; readonly helper: string; readonly server: string };

/** A parsed file. */
export interface DockerConfig {
  /** The places to look for a registry's credentials, best first. */
  placesFor(hosts: readonly string[]): readonly CredentialPlace[];
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Helper names become part of a program's name: nothing that could lead elsewhere. */
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** A key of `auths` or `credHelpers` as a host: `https://quay.io/v2/` gives `quay.io`. Keys with other paths give nothing. */
export function hostOfKey(key: string): string | undefined {
  const match = /^(?:https?:\/\/)?([^/]+)(?:\/(?:v[12]\/?)?)?$/i.exec(key.trim());
  return match?.[1]?.toLowerCase();
}

/** The names that a registry's credentials may stand under. */
export function registryHosts(upstream: { readonly name: string; readonly url: string }): string[] {
  const isHub = upstream.name === 'docker.io';
  const names = [...(isHub ? ['index.docker.io'] : []), upstream.name, new URL(upstream.url).host];
  return [...new Set(names.map((name) => name.toLowerCase()))];
}

/**
 * Reads a config file.
 * @throws {DockyardError} ERR_CREDENTIALS_UNREADABLE when it is no JSON object, or a field has another shape than Docker gives it
 */
export function parseDockerConfig(text: string): DockerConfig {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw unreadable('it is not JSON', cause);
  }
  if (!isFields(document)) throw unreadable('it is no JSON object');
  const auths = byHost(section(document, 'auths'));
  const helpers = byHost(section(document, 'credHelpers'));
  const store = document['credsStore'];
  return {
    placesFor: (hosts) => [
      ...hosts.flatMap((host) => helperPlace(helpers.get(host), host)),
      ...(helperName(store) === undefined ? [] : hosts.flatMap((host) => helperPlace(store, host))),
      ...hosts.flatMap((host) => inlinePlace(auths.get(host))),
    ],
  };
}

function unreadable(what: string, cause?: unknown): Error {
  return originError('ERR_CREDENTIALS_UNREADABLE', `Docker's config.json cannot be used: ${what}`, { cause });
}

function section(document: Fields, name: string): Fields {
  const value = document[name] ?? {};
  if (!isFields(value)) throw unreadable(`'${name}' is no object`);
  return value;
}

function byHost(fields: Fields): Map<string, unknown> {
  const map = new Map<string, unknown>();
  for (const [key, value] of Object.entries(fields)) {
    const host = hostOfKey(key);
    if (host !== undefined && !map.has(host)) map.set(host, value);
  }
  return map;
}

function helperName(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && HELPER_NAME.test(value)) return value;
  throw unreadable('the name of a credential helper is not acceptable');
}

function helperPlace(value: unknown, host: string): CredentialPlace[] {
  const helper = helperName(value);
  if (helper === undefined) return [];
  return [{ kind: 'helper', helper, server: host === 'index.docker.io' ? DOCKER_HUB_KEY : host }];
}

function inlinePlace(value: unknown): CredentialPlace[] {
  if (!isFields(value)) return [];
  const { identitytoken, registrytoken, auth, username, password } = value;
  if (typeof identitytoken === 'string' && identitytoken !== '') {
    return [{ kind: 'inline', credentials: { kind: 'identity-token', token: identitytoken } }];
  }
  if (typeof registrytoken === 'string' && registrytoken !== '') {
    return [{ kind: 'inline', credentials: { kind: 'bearer', token: registrytoken } }];
  }
  if (typeof auth === 'string' && auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon < 1) throw unreadable("an 'auth' is not the base64 of name:password");
    // Docker pads the decoded text with zero bytes in some versions.
    const secret = decoded.slice(colon + 1).replace(/\0+$/, '');
    return [{ kind: 'inline', credentials: { kind: 'basic', username: decoded.slice(0, colon), password: secret } }];
  }
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') return [];
  return [{ kind: 'inline', credentials: { kind: 'basic', username, password } }];
}
