/** Docker Hub, which is called by several names, and whose own images are in a folder that people leave out. */
import { parseRepositoryName, type RepositoryName } from './name.ts';
import type { Repository } from './repository.ts';

/** The name by which Docker Hub is known, and where it answers. */
export const DOCKER_HUB = { name: 'docker.io', url: 'https://registry-1.docker.io' } as const;

const ALIASES: ReadonlySet<string> = new Set(['registry-1.docker.io', 'index.docker.io']);

/** The one spelling of an upstream's name: lower case, and `docker.io` for all of Docker Hub's hosts. */
export function canonicalUpstream(name: string): string {
  const lower = name.toLowerCase();
  return ALIASES.has(lower) ? DOCKER_HUB.name : lower;
}

/**
 * What a name means at an upstream: `alpine` is `library/alpine` at Docker Hub.
 * @throws {DockyardError} ERR_NAME_INVALID
 */
export function repositoryAt(upstream: string, name: string | RepositoryName): Repository {
  const isShort = canonicalUpstream(upstream) === DOCKER_HUB.name && !name.includes('/') && name !== '';
  return { upstream, name: parseRepositoryName(isShort ? `library/${name}` : name) };
}
