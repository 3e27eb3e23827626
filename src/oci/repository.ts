/** A repository at an upstream: what a client means by `docker.io/library/alpine`. */
import type { RepositoryName } from './name.ts';

/** The upstream of repositories that were pushed to this seed itself. */
export const HOSTED_HERE = '';

/** `upstream` is the configured name of a registry (`docker.io`) or HOSTED_HERE, never an arbitrary host. */
export interface Repository {
  readonly upstream: string;
  readonly name: RepositoryName;
}

/** `docker.io/library/alpine`: for logs, keys and messages. */
export function formatRepository(repository: Repository): string {
  return repository.upstream === HOSTED_HERE ? repository.name : `${repository.upstream}/${repository.name}`;
}
