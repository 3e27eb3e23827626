/**
 * The registries that a command works with, by the names of images as people write them. A name without a host is of the node
 * that `--registry` names; `http://` or `https://` before a name says how its registry is spoken to.
 */
import type { Command } from 'commander';
import type { ManifestReference } from '../../src/oci/name.ts';
import { canonicalUpstream, DOCKER_HUB, repositoryAt } from '../../src/oci/docker-hub.ts';
import { isHost, looksLikeHost, parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import type { Repository } from '../../src/oci/repository.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { ProcessFacts } from '../config/option.ts';
import { nodeError } from '../errors.ts';
import { usualScheme } from '../usual-scheme.ts';

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
    const repository = repositoryAt(registry.name, hosted.name);
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
  const { openClients } = await import('./registry-clients.ts');
  return await openClients(places, options.ca, facts);
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
  if (canonicalUpstream(host) === DOCKER_HUB.name) return DOCKER_HUB;
  return { name: host, url: `${scheme ?? usualScheme(host)}://${host}` };
}

function splitScheme(text: string): { readonly scheme: string | undefined; readonly rest: string } {
  const match = /^(https?):\/\/(.*)$/s.exec(text);
  return match === null ? { scheme: undefined, rest: text } : { scheme: match[1], rest: match[2] ?? '' };
}
