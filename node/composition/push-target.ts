/** The seed that a plain node passes pushes on to, as the facade sees it. */
import type { ManifestStore } from '../../src/content/manifest-store.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { PushTarget } from '../../src/registry/push-passing.ts';

/** @param upstream its name among the upstreams */
export function createPushTarget(
  { origin, manifests }: { readonly origin: OriginRegistry; readonly manifests: ManifestStore },
  upstream: string,
): PushTarget {
  return {
    upstream,
    pass: async (request, { repository, signal }) => await origin.pass(repository, request, { signal }),
    // Otherwise a pull through this node would get what the tag stood for before the push.
    onTagsChanged: async (tags, { repository }) => {
      for (const tag of tags) await manifests.removeTag(repository, tag);
    },
  };
}
