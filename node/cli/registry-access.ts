/**
 * The registries that a command works with, by the names of images as people write them. A name without a host is of the node
 * that `--registry` names; `http://` or `https://` before a name says how its registry is spoken to.
 */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ManifestReference } from '../../src/oci/name.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { isHost, looksLikeHost, parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import type { Repository } from '../../src/oci/repository.ts';
import { asError } from '../../src/oci/error.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { resolveUpstream } from '../../src/origin/upstream-config.ts';
import { ReplaceableCredentials } from '../composition/credentials.ts';
import { defaultDockerConfig } from '../config/defaults.ts';
import type { ProcessFacts } from '../config/option.ts';
import { nodeError } from '../errors.ts';

/** Options of commands that work with registries. */
export interface RegistryOptions {
  readonly registry?: string;
  readonly ca?: string;
  readonly json?: boolean;
}

/** A registry, and how it is reached. */
export interface RegistryPlace {
  /** By which it is named and known to Docker's configuration file. */
  readonly name: string;
  readonly url: string;
}

/** What a person named. */
export interface NamedImage {
  readonly registry: RegistryPlace;
  readonly repository: Repository;
  readonly tag: ImageReference['tag'];
  readonly digest: ImageReference['digest'];
  /** As the person wrote it. */
  readonly text: string;
}

/** How often a request is tried again: a person waits. */
const MAX_RETRIES = 2;
const HUB = { name: 'docker.io', url: 'https://registry-1.docker.io' } as const;
const HUB_HOSTS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/;
/** What a proxy is not asked for, whatever NO_PROXY says. */
const NEVER_PROXIED = 'localhost,127.0.0.0/8,::1';
const DEFAULT_REGISTRY = '127.0.0.1:5000';

/** Adds `--registry`, `--ca` and `--json`. */
export function addRegistryFlags(command: Command): Command {
  command.option(
    '--registry <HOST:PORT>',
    `where names without a host are: a seed, a node or any registry (default: ${DEFAULT_REGISTRY}, env: DOCKYARD_REGISTRY)`,
  );
  command.option('--ca <FILE>', 'PEM certificates to trust, besides those of the system');
  return command.option('--json', 'write JSON for programs');
}

/** Reads the names of registries and images. @throws {DockyardError} ERR_USAGE, ERR_REFERENCE_INVALID */
export class RegistryNames {
  readonly usual: RegistryPlace;

  constructor(options: RegistryOptions, facts: ProcessFacts) {
    const { DOCKYARD_REGISTRY, DOCKYARD_LISTEN } = facts.environment;
    this.usual = readRegistry(options.registry ?? (DOCKYARD_REGISTRY || DOCKYARD_LISTEN || DEFAULT_REGISTRY));
  }

  /** A registry, or the usual one when none is named. */
  registry(text: string | undefined): RegistryPlace {
    return text === undefined ? this.usual : readRegistry(text);
  }

  /** `team/app:v1`, `registry.lan:5000/team/app@sha256:…`, `http://registry.lan/team/app` */
  image(text: string): NamedImage {
    const { scheme, rest } = splitScheme(text);
    const slash = rest.indexOf('/');
    const host = scheme === undefined ? undefined : rest.slice(0, Math.max(0, slash));
    if (host !== undefined && !isHost(host)) throw notARegistry(text);
    // With its scheme before it, `registry` alone is a host too; the grammar wants a port to see it.
    const isBare = host !== undefined && !looksLikeHost(host);
    const hosted = parseImageReference(isBare ? `${host}:0${rest.slice(slash)}` : rest);
    const hostText = host ?? hosted.host;
    const registry = hostText === undefined ? this.usual : placeOf(hostText, scheme);
    const isHubShort = registry.name === HUB.name && !hosted.name.includes('/');
    const name = isHubShort ? parseRepositoryName(`library/${hosted.name}`) : hosted.name;
    const repository = { upstream: registry.name, name };
    return { registry, repository, tag: hosted.tag, digest: hosted.digest, text };
  }
}

/** The one manifest that was named: by its digest, by its tag, or by `latest`. */
export function referenceOf({ tag, digest }: NamedImage): ManifestReference {
  if (digest !== undefined) return { kind: 'digest', digest };
  return { kind: 'tag', tag: tag ?? ('latest' as NonNullable<typeof tag>) };
}

/**
 * Opens a client of these registries, with the credentials of Docker's configuration file. Whoever opened it closes it.
 * @throws {DockyardError} ERR_USAGE, ERR_CONFIG_UNREADABLE, ERR_UPSTREAM_INVALID
 */
export async function openRegistries(
  places: readonly RegistryPlace[],
  options: RegistryOptions,
  facts: ProcessFacts,
): Promise<OriginRegistry> {
  const caPem = options.ca === undefined ? undefined : await readCertificates(options.ca);
  const urls = new Map<string, string>();
  for (const { name, url } of places) {
    const before = urls.get(name);
    if (before !== undefined && before !== url)
      throw nodeError('ERR_USAGE', `${name} is named as ${before} and as ${url}`);
    urls.set(name, url);
  }
  const { environment } = facts;
  const log = pino({ level: 'silent' });
  const context = { facts, earlier: () => undefined };
  const upstreams = [...urls].map(([name, url]) => resolveUpstream({ name, url, caPem, maxRetries: MAX_RETRIES }));
  const noProxy = environment['NO_PROXY'] || environment['no_proxy'] || '';
  const proxy = {
    httpProxy: environment['HTTP_PROXY'] || environment['http_proxy'] || '',
    httpsProxy: environment['HTTPS_PROXY'] || environment['https_proxy'] || '',
    noProxy: noProxy === '' ? NEVER_PROXIED : `${noProxy},${NEVER_PROXIED}`,
  };
  const credentials = new ReplaceableCredentials({ log, clock: systemClock }, defaultDockerConfig(context));
  return new OriginRegistry({ log, metrics: new Registry(), clock: systemClock, credentials }, { upstreams, proxy });
}

async function readCertificates(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `--ca: ${asError(cause).message}`, { cause });
  }
}

function readRegistry(text: string): RegistryPlace {
  const { scheme, rest } = splitScheme(text);
  const host = rest.replace(/\/+$/, '');
  if (!isHost(host)) throw notARegistry(text);
  return placeOf(host, scheme);
}

function notARegistry(text: string): Error {
  return nodeError(
    'ERR_USAGE',
    `'${text.slice(0, 160)}' names no registry; one is HOST, HOST:PORT or http://HOST:PORT`,
  );
}

function placeOf(host: string, scheme: string | undefined): RegistryPlace {
  if (HUB_HOSTS.has(host)) return HUB;
  return { name: host, url: `${scheme ?? (LOOPBACK.test(host) ? 'http' : 'https')}://${host}` };
}

function splitScheme(text: string): { readonly scheme: string | undefined; readonly rest: string } {
  const match = /^(https?):\/\/(.*)$/s.exec(text);
  return match === null ? { scheme: undefined, rest: text } : { scheme: match[1], rest: match[2] ?? '' };
}
