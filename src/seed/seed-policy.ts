/** What an operator allows to be pushed and deleted. */
import type { RepositoryName, Tag } from '../oci/name.ts';
import { seedError } from './errors.ts';
import { patternOf, tagPatternOf, type TagPattern } from './tag-pattern.ts';

/** The operator's words. */
export interface SeedPolicyConfig {
  /** Patterns of names that are this seed's alone; when there are any, nothing else may be pushed. */
  readonly names: readonly string[];
  /** Patterns `NAME:TAG`, or `TAG` for every repository, of tags that never change once they are set. */
  readonly immutableTags: readonly string[];
  readonly allowDelete: boolean;
  /** First components of names that nobody pushes to as to other repositories: what is there was checked by another room. */
  readonly reservedNamespaces?: readonly string[] | undefined;
}

/** Answers questions about one request, or refuses it. */
export class SeedPolicy {
  readonly #names: readonly RegExp[];
  readonly #immutable: readonly TagPattern[];
  readonly #allowDelete: boolean;
  readonly #reserved: readonly string[];

  constructor(config: SeedPolicyConfig) {
    this.#names = config.names.map(patternOf);
    this.#immutable = config.immutableTags.map(tagPatternOf);
    this.#allowDelete = config.allowDelete;
    this.#reserved = config.reservedNamespaces ?? [];
  }

  /** True for a name that is this seed's alone, whether anything was pushed under it or not. */
  owns(name: RepositoryName): boolean {
    return this.#names.some((pattern) => pattern.test(name));
  }

  /** True for a name that is among those that may be kept here, whoever brings it. */
  accepts(name: RepositoryName): boolean {
    return this.#names.length === 0 || this.owns(name);
  }

  /** Whether anything may be deleted. */
  get allowsDelete(): boolean {
    return this.#allowDelete;
  }

  /** @throws {DockyardError} ERR_NAME_NOT_ALLOWED */
  requirePush(name: RepositoryName): void {
    const reserved = this.#reserved.find((namespace) => name === namespace || name.startsWith(`${namespace}/`));
    if (reserved !== undefined)
      throw seedError(
        'ERR_NAME_NOT_ALLOWED',
        `'${name}' is below '${reserved}', to which images are not pushed like this`,
      );
    if (this.accepts(name)) return;
    throw seedError('ERR_NAME_NOT_ALLOWED', `'${name}' is not among the repositories that may be pushed here`);
  }

  /** @throws {DockyardError} ERR_DELETE_FORBIDDEN */
  requireDelete(): void {
    if (this.#allowDelete) return;
    throw seedError('ERR_DELETE_FORBIDDEN', 'this registry does not allow anything to be deleted');
  }

  /** True for a tag that never changes once it is set. */
  isImmutable(name: RepositoryName, tag: Tag): boolean {
    return this.#immutable.some((pattern) => pattern(name, tag));
  }

  /** @throws {DockyardError} ERR_TAG_IMMUTABLE */
  requireMutable(name: RepositoryName, tag: Tag): void {
    if (!this.isImmutable(name, tag)) return;
    throw seedError('ERR_TAG_IMMUTABLE', `the tag '${tag}' of ${name} is immutable`);
  }
}
