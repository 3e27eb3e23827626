/** What the black-box checks are told of the registry that they check. */
import type { RegistryClient } from './registry-client.ts';

/** A registry that takes pushes and deletions under any name. */
export interface Registry {
  readonly client: RegistryClient;
  /** To which nothing was pushed yet. */
  readonly repository: string;
  readonly otherRepository: string;
}
