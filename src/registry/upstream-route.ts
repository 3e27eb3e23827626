/**
 * Which upstream a request means. Clients say it in one of three ways: `?ns=` (containerd, k3s, Docker 29), the host as
 * the first component of the path (Podman, `docker pull localhost:5000/ghcr.io/a/b`), or not at all (dockerd's
 * registry-mirrors). Only configured upstreams are ever named by the answer, so that a node is no open proxy.
 */
import { canonicalUpstream, repositoryAt } from '../oci/docker-hub.ts';
import { isHost } from '../oci/reference.ts';
import type { Repository } from '../oci/repository.ts';
import { registryError } from './errors.ts';

/** The repository that a request means, and how the client named its upstream. */
export interface UpstreamRoute {
  readonly repository: Repository;
  readonly via: 'ns' | 'path' | 'default';
}

/** What a client said of the upstream. */
export interface UpstreamQuestion {
  /** Everything between `/v2/` and the noun of the path; untrusted. */
  readonly nameText: string;
  /** All values of `ns`, decoded once; untrusted. */
  readonly namespaces: readonly string[];
}

/**
 * Finds the repository that is meant. `ns` wins, and then the path is the name as it stands.
 * @param upstreams configured names; the first is where a name without a host goes, unless `home` is
 * @param home the upstream where such names go instead
 * @throws {DockyardError} ERR_NS_INVALID, ERR_UPSTREAM_NOT_CONFIGURED, ERR_NAME_INVALID
 */
export function routeUpstream(question: UpstreamQuestion, upstreams: readonly string[], home?: string): UpstreamRoute {
  const { nameText, namespaces } = question;
  if (namespaces.length > 0) {
    return { via: 'ns', repository: repositoryAt(requireUpstream(parseNamespace(namespaces), upstreams), nameText) };
  }
  const slash = nameText.indexOf('/');
  const first = slash === -1 ? '' : nameText.slice(0, slash);
  if (!isBareName(nameText, upstreams)) {
    return { via: 'path', repository: repositoryAt(requireUpstream(first, upstreams), nameText.slice(slash + 1)) };
  }
  const defaultUpstream = home ?? upstreams[0];
  if (defaultUpstream === undefined) {
    throw registryError('ERR_UPSTREAM_NOT_CONFIGURED', 'this node has no upstream: add one with --upstream NAME=URL');
  }
  return { via: 'default', repository: repositoryAt(defaultUpstream, nameText) };
}

/** True for a name without a host, which on a seed may be one of its own repositories. */
export function isBareName(nameText: string, upstreams: readonly string[]): boolean {
  const slash = nameText.indexOf('/');
  const first = slash === -1 ? '' : nameText.slice(0, slash);
  return first === '' || (findUpstream(first, upstreams) === undefined && !isHostByDockersRule(first));
}

/** All values of `ns` in a query string, decoded, and the query string without them, otherwise untouched. */
export function takeNamespaces(search: string): { namespaces: string[]; rest: string } {
  if (search === '') return { namespaces: [], rest: '' };
  const namespaces: string[] = [];
  const rest = search.split('&').filter((pair) => {
    const [entry] = new URLSearchParams(pair);
    if (entry?.[0] !== 'ns') return true;
    namespaces.push(entry[1]);
    return false;
  });
  return { namespaces, rest: rest.join('&') };
}

function parseNamespace(namespaces: readonly string[]): string {
  const [namespace = '', ...others] = namespaces;
  if (others.length > 0) throw registryError('ERR_NS_INVALID', 'the query has more than one ns');
  if (namespace === '') throw registryError('ERR_NS_INVALID', 'the query has an empty ns');
  return namespace;
}

/** A first component that is a host by docker's rule is never taken for a user at the default upstream. */
function isHostByDockersRule(first: string): boolean {
  return /[.:]/.test(first.replaceAll(/^\.+|\.+$/g, '')) || first === 'localhost';
}

function findUpstream(name: string, upstreams: readonly string[]): string | undefined {
  const wanted = canonicalUpstream(name);
  return upstreams.find((upstream) => canonicalUpstream(upstream) === wanted);
}

function requireUpstream(name: string, upstreams: readonly string[]): string {
  const found = findUpstream(name, upstreams);
  if (found !== undefined) return found;
  const shown = name.slice(0, 160);
  if (!isHost(name)) throw registryError('ERR_NS_INVALID', `'${shown}' is not a registry host`);
  throw registryError(
    'ERR_UPSTREAM_NOT_CONFIGURED',
    `'${shown}' is not an upstream of this node; an operator can add it with --upstream ${shown}=URL`,
  );
}
