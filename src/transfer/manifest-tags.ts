/**
 * What a tag stands for: as its upstream said not long ago, or says now; and, while the upstream cannot be asked, as it was
 * last known here or at a peer. A tag is only ever answered together with the bytes of its manifest, so that no client is
 * sent after a digest that cannot be delivered.
 */
import type { StoredTag } from '../content/manifest-store.ts';
import type { Tag } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { isOriginTrouble } from '../origin/errors.ts';
import { JointRequests } from '../origin/joint-requests.ts';
import type { ManifestFinder, ManifestFinderDeps } from './manifest-finder.ts';
import type { FoundManifest, ManifestConfig } from './manifest-ports.ts';

/** A tag's manifest, and for how long its upstream has not confirmed it, if it cannot now. */
export interface TaggedManifest extends FoundManifest {
  readonly staleForMs?: number | undefined;
}

export type ManifestTagsDeps = ManifestFinderDeps & { readonly finder: ManifestFinder };

export class ManifestTags {
  readonly #deps: ManifestTagsDeps;
  readonly #config: ManifestConfig;
  readonly #joint = new JointRequests<TaggedManifest | undefined>();

  constructor(deps: ManifestTagsDeps, config: ManifestConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * The manifest that a tag stands for; `undefined` when the upstream does not have the tag.
   * @throws {DockyardError} what the upstream threw, when nobody knows an older answer
   */
  async find(
    repository: Repository,
    tag: Tag,
    options: { signal?: AbortSignal | undefined },
  ): Promise<TaggedManifest | undefined> {
    const stored = await this.#deps.store.getTag(repository, tag);
    if (stored !== undefined && this.#isFresh(stored)) {
      const held = await this.#unlessTrouble(this.#deps.finder.find(repository, stored.digest, 'anywhere', options));
      if (held !== undefined) return held;
    }
    const key = `${formatRepository(repository)}:${tag}`;
    return await this.#joint.run(key, (signal) => this.#revalidate(repository, tag, stored, signal), options);
  }

  /** A time of check in the future comes from a clock that was set back: then nothing is known of the age. */
  #isFresh(stored: StoredTag): boolean {
    const ageMs = this.#deps.clock.nowMs() - stored.checkedAtMs;
    return ageMs >= 0 && ageMs <= this.#config.tagTtlMs;
  }

  async #unlessTrouble<Value>(promise: Promise<Value>): Promise<Value | undefined> {
    try {
      return await promise;
    } catch (error) {
      if (isOriginTrouble(error)) return undefined;
      throw error;
    }
  }

  async #revalidate(
    repository: Repository,
    tag: Tag,
    stored: StoredTag | undefined,
    signal: AbortSignal,
  ): Promise<TaggedManifest | undefined> {
    // With an older answer at hand the upstream gets less time, so that a dead one does not hold up a pull.
    const known = stored ?? (await this.#peersTag(repository, tag, this.#config.peerHeadStartMs, signal));
    const patienceMs = known === undefined ? undefined : this.#config.revalidatePatienceMs;
    try {
      const manifest = await this.#askOrigin(repository, tag, patienceMs, signal);
      if (manifest === undefined) await this.#deps.store.removeTag(repository, tag);
      else await this.#keepTag(repository, tag, manifest, this.#deps.clock.nowMs());
      return manifest;
    } catch (error) {
      if (!isOriginTrouble(error)) throw error;
      const last = await this.#lastKnown(repository, tag, stored, signal);
      if (last === undefined) throw error;
      this.#deps.metrics.stale(repository.upstream);
      this.#deps.log.info(
        { repository: formatRepository(repository), tag, staleForMs: last.staleForMs, err: error },
        'tag answered from memory because its upstream cannot be asked',
      );
      return last;
    }
  }

  async #askOrigin(
    repository: Repository,
    tag: Tag,
    patienceMs: number | undefined,
    signal: AbortSignal,
  ): Promise<FoundManifest | undefined> {
    const { origin, finder } = this.#deps;
    const resolved = await origin.resolveTag(repository, tag, { signal, patienceMs });
    if (resolved === undefined) return undefined;
    const { digest, mediaType, bytes } = resolved;
    if (bytes !== undefined) return await this.#kept({ digest, mediaType, bytes });
    const found = await finder.find(repository, digest, 'anywhere', { signal });
    if (found !== undefined) return found;
    // The tag moved between the two questions and its old manifest is gone: ask for both at once.
    const moved = await origin.fetchManifest(repository, { kind: 'tag', tag }, { signal, patienceMs });
    return moved === undefined ? undefined : await this.#kept(moved);
  }

  async #kept(manifest: FoundManifest): Promise<FoundManifest> {
    this.#deps.metrics.found('origin');
    await this.#deps.finder.keep(manifest);
    return manifest;
  }

  async #keepTag(repository: Repository, tag: Tag, manifest: FoundManifest, checkedAtMs: number): Promise<void> {
    const { digest, mediaType, bytes } = manifest;
    try {
      await this.#deps.store.putTag(repository, tag, { digest, mediaType, sizeBytes: bytes.length, checkedAtMs });
    } catch (err) {
      this.#deps.log.warn({ err, repository: formatRepository(repository), tag }, 'tag could not be kept');
    }
  }

  /** The freshest answer whose manifest can be delivered without the upstream. */
  async #lastKnown(
    repository: Repository,
    tag: Tag,
    stored: StoredTag | undefined,
    signal: AbortSignal,
  ): Promise<TaggedManifest | undefined> {
    const nowMs = this.#deps.clock.nowMs();
    const peers = await this.#peersTag(repository, tag, this.#config.peerTimeoutMs, signal);
    const answers = [stored, peers].filter((answer) => answer !== undefined);
    // A peer's clock may run ahead; no answer is younger than now.
    const byAge = answers.map((answer) => ({ answer, ageMs: Math.max(0, nowMs - answer.checkedAtMs) }));
    byAge.sort((a, b) => a.ageMs - b.ageMs);
    for (const { answer, ageMs } of byAge) {
      const manifest = await this.#deps.finder.find(repository, answer.digest, 'without-origin', { signal });
      if (manifest === undefined) continue;
      if (answer !== stored) await this.#keepTag(repository, tag, manifest, nowMs - ageMs);
      return { ...manifest, staleForMs: ageMs };
    }
    return undefined;
  }

  /** Never throws but when the work is aborted: a peer that fails knows nothing. */
  async #peersTag(
    repository: Repository,
    tag: Tag,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<StoredTag | undefined> {
    try {
      return await this.#deps.peers.findTag(repository, tag, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
    } catch (err) {
      signal.throwIfAborted();
      this.#deps.log.debug(
        { err, repository: formatRepository(repository), tag },
        'peers could not be asked for a tag',
      );
      return undefined;
    }
  }
}
