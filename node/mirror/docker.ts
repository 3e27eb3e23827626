/**
 * Points Docker at the node: `registry-mirrors` for Docker Hub, which every version knows, and `hosts.toml` files for any
 * registry, which Docker reads with the containerd image store (the default of new installations since version 29).
 */
import { ALL_REGISTRIES, hostsEdit } from './containerd.ts';
import { addRegistryMirror } from './daemon-json.ts';
import type { RootedFiles } from './files.ts';
import { ROOTLESS_LOOPBACK_NOTE, type FileEdit, type MirrorPlan, type MirrorRequest } from './plan.ts';
import type { MirrorScope } from './scope.ts';

/** Plans the change. */
export function planDocker(_files: RootedFiles, request: MirrorRequest, scope: MirrorScope): Promise<MirrorPlan> {
  const { registries } = request;
  const edits: FileEdit[] = registries.map((registry) =>
    hostsEdit(`${scope.dockerCerts}/${registry}/hosts.toml`, request.url),
  );
  const includesHub = registries.some((registry) => registry === ALL_REGISTRIES || registry === 'docker.io');
  if (includesHub) {
    edits.push({
      path: scope.dockerConfig,
      form: 'daemon-json',
      apply: (text) => addRegistryMirror(text, scope.dockerConfig, request.url),
    });
  }
  const place = request.url.replace(/^https?:\/\//, '');
  const notes = [
    ...(includesHub ? [`Reload dockerd, so that it reads registry-mirrors: ${scope.reloadDocker}`] : []),
    `Docker without the containerd image store asks mirrors for Docker Hub alone; pull others by name: docker pull ${place}/ghcr.io/OWNER/IMAGE`,
    ...(scope.name === 'user' ? [ROOTLESS_LOOPBACK_NOTE] : []),
  ];
  return Promise.resolve({ client: 'docker', url: request.url, registries, edits, notes });
}
