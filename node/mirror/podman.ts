/** Points Podman, Buildah, Skopeo and CRI-O at the node: a drop-in beside `registries.conf`. */
import { nodeError } from '../errors.ts';
import type { RootedFiles } from './files.ts';
import type { MirrorPlan, MirrorRequest } from './plan.ts';
import { findRegistry, isOldForm, renderDropIn, type RegistriesFile } from './registries-conf.ts';

const MAIN_FILE = '/etc/containers/registries.conf';
const DROP_IN_DIRECTORY = '/etc/containers/registries.conf.d';

/** Our drop-in. */
export const PODMAN_DROP_IN = `${DROP_IN_DIRECTORY}/50-dockyard.conf`;

/** Plans the change. @throws {DockyardError} ERR_MIRROR_UNEDITABLE, ERR_MIRROR_ACCESS */
export async function planPodman(files: RootedFiles, request: MirrorRequest): Promise<MirrorPlan> {
  const { registries } = request;
  const others = await readOthers(files);
  const old = others.find(isOldForm);
  if (old !== undefined) {
    throw nodeError(
      'ERR_MIRROR_UNEDITABLE',
      `${old.path} has the old form ([registries.search]), which cannot be mixed with mirrors; convert it first`,
    );
  }
  const later = others.filter((file) => file.path > PODMAN_DROP_IN && file.path.startsWith(DROP_IN_DIRECTORY));
  const overruled = registries.flatMap((registry) =>
    later
      .filter((file) => findRegistry([file], registry) !== undefined)
      .map((file) => `${file.path} is read after ours and says of ${registry} what counts`),
  );
  const covered = `Through the node go: ${registries.join(', ')}; these clients cannot say "all", so name others with --registry.`;
  return {
    client: 'podman',
    url: request.url,
    registries,
    edits: [{ path: PODMAN_DROP_IN, form: 'own', apply: () => renderDropIn(registries, request.url, others) }],
    notes: [...overruled, covered, 'Podman, Buildah and Skopeo need nothing more; CRI-O: systemctl reload crio'],
  };
}

async function readOthers(files: RootedFiles): Promise<RegistriesFile[]> {
  const names = (await files.list(DROP_IN_DIRECTORY)).filter((name) => name.endsWith('.conf'));
  const paths = [MAIN_FILE, ...names.map((name) => `${DROP_IN_DIRECTORY}/${name}`)];
  const found: RegistriesFile[] = [];
  for (const path of paths) {
    const text = path === PODMAN_DROP_IN ? undefined : await files.readText(path);
    if (text !== undefined) found.push({ path, text });
  }
  return found;
}
