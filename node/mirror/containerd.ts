/** Points containerd at the node: `hosts.toml` files, and the setting that makes the CRI plugin read them. */
import { configPathLines, readContainerdConfig, setConfigPath } from './containerd-config.ts';
import type { RootedFiles } from './files.ts';
import { addHost } from './hosts-toml.ts';
import { ROOTLESS_LOOPBACK_NOTE, type FileEdit, type MirrorPlan, type MirrorRequest } from './plan.ts';
import type { MirrorScope } from './scope.ts';

/** Stands for all registries that have no folder of their own. */
export const ALL_REGISTRIES = '_default';

/** Plans the change. @throws {DockyardError} ERR_MIRROR_UNEDITABLE, ERR_MIRROR_ACCESS */
export async function planContainerd(
  files: RootedFiles,
  request: MirrorRequest,
  scope: MirrorScope,
): Promise<MirrorPlan> {
  const path = scope.containerdConfig;
  const configText = await files.readText(path);
  const config = readContainerdConfig(configText, path);
  const directory = config.certsDirectory ?? scope.containerdCerts;
  const { registries } = request;
  const edits: FileEdit[] = registries.map((registry) => hostsEdit(`${directory}/${registry}/hosts.toml`, request.url));
  const notes = await noteUncovered(files, directory, registries);
  if (config.certsDirectory === undefined && request.setConfigPath) {
    edits.push({
      path,
      form: 'marked-toml',
      apply: (text) => setConfigPath(text, path, directory),
    });
    notes.push(`Restart containerd, because config_path is read at its start only: ${scope.restartContainerd}`);
  } else if (config.certsDirectory === undefined && scope.name === 'user') {
    notes.push('nerdctl looks there by itself; clients of the CRI plugin need --config-path.');
  } else if (config.certsDirectory === undefined) {
    notes.push(
      `containerd's CRI plugin (Kubernetes) does not look there yet: give --config-path, or add to ${path} and restart ` +
        `containerd:\n  ${configPathLines(config.version in VERSIONED ? config.version : 2, directory).join('\n  ')}\n` +
        '(nerdctl looks there by itself; ctr with --hosts-dir.)',
    );
  }
  if (scope.name === 'user') notes.push(ROOTLESS_LOOPBACK_NOTE);
  return { client: 'containerd', url: request.url, registries, edits, notes };
}

const VERSIONED: Readonly<Record<number, true>> = { 2: true, 3: true };

/** The edit of one `hosts.toml`. */
export function hostsEdit(path: string, url: string): FileEdit {
  return { path, form: 'marked-toml', apply: (text) => addHost(text, path, url) };
}

/** `_default` does not count for registries that have a folder of their own. */
async function noteUncovered(files: RootedFiles, directory: string, registries: readonly string[]): Promise<string[]> {
  if (!registries.includes(ALL_REGISTRIES)) return [];
  const uncovered: string[] = [];
  for (const name of await files.list(directory)) {
    if (registries.includes(name)) continue;
    if ((await files.readText(`${directory}/${name}/hosts.toml`)) !== undefined) uncovered.push(name);
  }
  if (uncovered.length === 0) return [];
  const flags = uncovered.map((name) => `--registry ${name}`).join(' ');
  return [
    `These registries have a hosts.toml of their own, which stays as it is; to put the node in front of them too: ${flags}`,
  ];
}
