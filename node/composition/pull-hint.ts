/** The first pull that a person who has just started a node is told to try. */

/** Small images that everyone may pull. */
const PUBLIC_IMAGES: Readonly<Record<string, string>> = {
  'docker.io': 'library/alpine',
  'quay.io': 'podman/hello',
  'registry.k8s.io': 'pause:3.10',
  'public.ecr.aws': 'docker/library/alpine',
  'mcr.microsoft.com': 'hello-world',
};

/**
 * A command that pulls from the first upstream, where names without a host go.
 * @param registry HOST:PORT of the node
 */
export function pullHint(registry: string, upstream: string): string {
  const known = PUBLIC_IMAGES[upstream];
  return known === undefined
    ? `docker pull ${registry}/REPOSITORY:TAG (an image of ${upstream})`
    : `docker pull ${registry}/${known}`;
}
