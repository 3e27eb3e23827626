/** A repository at an upstream: what a client means by `docker.io/library/alpine`. */
import type { RepositoryName } from './name.ts';

/** `upstream` is the configured name of a registry (`docker.io`), never an arbitrary host. */
export interface Repository {
  readonly upstream: string;
  readonly name: RepositoryName;
}

/** `docker.io/library/alpine`: for logs, keys and messages. */
export function formatRepository(repository: Repository): string {
  return `${repository.upstream}/${repository.name}`;
}
