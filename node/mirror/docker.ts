/**
 * Points Docker at the node: `registry-mirrors` for Docker Hub, which every version knows, and `hosts.toml` files for any
 * registry, which Docker reads with the containerd image store (the default of new installations since version 29).
 */
import { ALL_REGISTRIES, hostsEdit } from './containerd.ts';
import { addRegistryMirror } from './daemon-json.ts';
import type { RootedFiles } from './files.ts';
import type { FileEdit, MirrorPlan, MirrorRequest } from './plan.ts';

/** The configuration file of dockerd. */
export const DOCKER_CONFIG = '/etc/docker/daemon.json';

/** Where Docker looks for certificates and `hosts.toml` of registries. */
export const DOCKER_CERTS_DIRECTORY = '/etc/docker/certs.d';

/** Plans the change. */
export function planDocker(_files: RootedFiles, request: MirrorRequest): Promise<MirrorPlan> {
  const { registries } = request;
  const edits: FileEdit[] = registries.map((registry) =>
    hostsEdit(`${DOCKER_CERTS_DIRECTORY}/${registry}/hosts.toml`, request.url),
  );
  const includesHub = registries.some((registry) => registry === ALL_REGISTRIES || registry === 'docker.io');
  if (includesHub) {
    edits.push({
      path: DOCKER_CONFIG,
      form: 'daemon-json',
      apply: (text) => addRegistryMirror(text, DOCKER_CONFIG, request.url),
    });
  }
  const place = request.url.replace(/^https?:\/\//, '');
  const notes = [
    ...(includesHub ? ['Reload dockerd, so that it reads registry-mirrors: systemctl reload docker'] : []),
    `Docker without the containerd image store asks mirrors for Docker Hub alone; pull others by name: docker pull ${place}/ghcr.io/OWNER/IMAGE`,
  ];
  return Promise.resolve({ client: 'docker', url: request.url, registries, edits, notes });
}
