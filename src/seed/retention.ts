/** Which tags of a repository are kept: the operator's rules, applied to what is there. Pure. */
import { isDigest, type Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';
import { tagPatternOf, type TagPattern } from './tag-pattern.ts';

/** The operator's words. Without any rule everything is kept; with some, what no rule keeps is dropped. */
export interface RetentionConfig {
  /** Patterns `NAME:TAG`, or `TAG` for every repository. */
  readonly keepTags: readonly string[];
  /** So many tags of each repository, those that were pushed last; 0 is no rule. */
  readonly keepNewest: number;
  /** Tags that were pushed so recently; 0 is no rule. */
  readonly keepPushedWithinMs: number;
  /** Tags whose manifest was pulled or that were pushed so recently; 0 is no rule. */
  readonly keepPulledWithinMs: number;
}

/** A tag as retention looks at it. */
export interface DatedTag {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly updatedAtMs: number;
  /** When the manifest was last asked for; needed by a rule about pulls. */
  readonly pulledAtMs?: number | undefined;
}

/** Tags by which older clients attach signatures and the like to a manifest: `sha256-<hex>`, `sha256-<hex>.sig`. */
const ATTACHED_TAG = /^(sha256|sha512)-([a-f0-9]+)(?:\..+)?$/;

/** The rules, ready to be asked. */
export class Retention {
  readonly #config: RetentionConfig;
  readonly #patterns: readonly TagPattern[];

  constructor(config: RetentionConfig) {
    this.#config = config;
    this.#patterns = config.keepTags.map(tagPatternOf);
  }

  /** False when there is no rule. */
  get hasRules(): boolean {
    const { keepNewest, keepPushedWithinMs, keepPulledWithinMs } = this.#config;
    return this.#patterns.length > 0 || keepNewest > 0 || keepPushedWithinMs > 0 || keepPulledWithinMs > 0;
  }

  /**
   * The tags that no rule keeps. Tags that are attached to a manifest stay as long as it is there, and do not count among
   * the newest.
   * @param isThere true for manifests of the repository
   */
  dropped(
    repository: RepositoryName,
    tags: readonly DatedTag[],
    { nowMs, isThere }: { readonly nowMs: number; readonly isThere: (digest: Digest) => boolean },
  ): DatedTag[] {
    if (!this.hasRules) return [];
    const ordinary = tags.filter(({ tag }) => {
      const subject = subjectOf(tag);
      return subject === undefined || !isThere(subject);
    });
    const { keepNewest, keepPushedWithinMs, keepPulledWithinMs } = this.#config;
    return ordinary
      .toSorted((one, other) => other.updatedAtMs - one.updatedAtMs || (one.tag < other.tag ? -1 : 1))
      .slice(keepNewest)
      .filter(({ updatedAtMs }) => updatedAtMs <= nowMs - keepPushedWithinMs)
      .filter(({ updatedAtMs, pulledAtMs = 0 }) => Math.max(updatedAtMs, pulledAtMs) <= nowMs - keepPulledWithinMs)
      .filter(({ tag }) => !this.#patterns.some((pattern) => pattern(repository, tag)));
  }
}

function subjectOf(tag: Tag): Digest | undefined {
  const [, algorithm, hex] = ATTACHED_TAG.exec(tag) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
