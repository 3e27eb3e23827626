/** Points Podman, Buildah, Skopeo and CRI-O at the node: a drop-in beside `registries.conf`. */
import { dirname } from 'node:path';
import { nodeError } from '../errors.ts';
import type { RootedFiles } from './files.ts';
import type { MirrorPlan, MirrorRequest } from './plan.ts';
import type { MirrorScope } from './scope.ts';
import { findRegistry, isOldForm, renderDropIn, type RegistriesFile } from './registries-conf.ts';

/** Our drop-in. */
export function podmanDropIn({ podman }: MirrorScope): string {
  return `${podman.dropInFolders.at(-1)}/50-dockyard.conf`;
}

/** Plans the change. @throws {DockyardError} ERR_MIRROR_UNEDITABLE, ERR_MIRROR_ACCESS */
export async function planPodman(files: RootedFiles, request: MirrorRequest, scope: MirrorScope): Promise<MirrorPlan> {
  const dropIn = podmanDropIn(scope);
  const { registries } = request;
  const others = await readOthers(files, scope);
  const old = others.find(isOldForm);
  if (old !== undefined) {
    throw nodeError(
      'ERR_MIRROR_UNEDITABLE',
      `${old.path} has the old form ([registries.search]), which cannot be mixed with mirrors; convert it first`,
    );
  }
  const later = others.filter((file) => dirname(file.path) === dirname(dropIn) && file.path > dropIn);
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
    edits: [{ path: dropIn, form: 'own', apply: () => renderDropIn(registries, request.url, others, scope.flag) }],
    notes: [
      ...overruled,
      covered,
      scope.name === 'user' ? NOTHING_MORE : `${NOTHING_MORE}; CRI-O: systemctl reload crio`,
    ],
  };
}

const NOTHING_MORE = 'Podman, Buildah and Skopeo need nothing more';

/** All other files that are read, in the order in which they are. */
async function readOthers(files: RootedFiles, scope: MirrorScope): Promise<RegistriesFile[]> {
  const { ownFile, commonFile, dropInFolders } = scope.podman;
  const hasOwn = ownFile !== undefined && (await files.read(ownFile)) !== undefined;
  const paths = [hasOwn ? ownFile : commonFile];
  for (const folder of hasOwn ? dropInFolders.slice(-1) : dropInFolders) {
    const names = (await files.list(folder)).filter((name) => name.endsWith('.conf'));
    paths.push(...names.map((name) => `${folder}/${name}`));
  }
  const found: RegistriesFile[] = [];
  for (const path of paths) {
    const text = path === podmanDropIn(scope) ? undefined : await files.readText(path);
    if (text !== undefined) found.push({ path, text });
  }
  return found;
}
