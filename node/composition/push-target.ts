/** The seeds that a plain node passes pushes on to, as the facade sees them. */
import type { ManifestStore } from '../../src/content/manifest-store.ts';
import { steadyClock } from '../../src/origin/clock.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { PushSeeds } from '../../src/origin/push-seeds.ts';
import type { PushTarget } from '../../src/registry/push-passing.ts';

/** @param seeds their names among the upstreams; `undefined` where there are none */
export function createPushTarget(
  { origin, manifests }: { readonly origin: OriginRegistry; readonly manifests: ManifestStore },
  seeds: readonly string[],
): PushTarget | undefined {
  const [upstream] = seeds;
  if (upstream === undefined) return undefined;
  const choice = new PushSeeds({ origin, clock: steadyClock }, seeds);
  return {
    // Of those that keep the same, the first stands for all.
    upstream,
    pass: async (request, { repository, signal }) => await choice.pass(repository.name, request, { signal }),
    // Otherwise a pull through this node would get what the tag stood for before the push.
    onTagsChanged: async (tags, { repository }) => {
      for (const tag of tags) await manifests.removeTag(repository, tag);
    },
  };
}
