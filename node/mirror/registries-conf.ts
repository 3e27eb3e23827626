/**
 * `registries.conf` of Podman, Buildah, Skopeo and CRI-O: a drop-in that puts the node in front of registries. A later
 * file replaces what an earlier one says of a registry as a whole, so what was said there is carried over.
 * @see https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
 */
import { stringify, type TomlTable, type TomlValue } from 'smol-toml';
import { isTable, parseToml } from './toml-edit.ts';

/** A configuration file and its text. */
export interface RegistriesFile {
  readonly path: string;
  readonly text: string;
}

/** True for the form of before 2018, which cannot be mixed with the one written here. */
export function isOldForm(file: RegistriesFile): boolean {
  return isTable(parseToml(file.text, file.path)['registries']);
}

/** What the files say of a registry; of several the last counts. @throws {DockyardError} ERR_MIRROR_UNEDITABLE */
export function findRegistry(files: readonly RegistriesFile[], registry: string): TomlTable | undefined {
  return files
    .flatMap((file) => tablesOf(parseToml(file.text, file.path)['registry']))
    .findLast((entry) => {
      return (entry['prefix'] ?? entry['location']) === registry;
    });
}

/** The mirrors of a registry in a file, in order. */
export function listMirrors(file: RegistriesFile, registry: string): readonly string[] {
  const mirrors = tablesOf(findRegistry([file], registry)?.['mirror']);
  return mirrors.map(({ location }) => location).filter((location) => typeof location === 'string');
}

/** The place of a registry at the node: `127.0.0.1:5000/docker.io`. */
export function mirrorLocation(url: string, registry: string): string {
  return `${url.replace(/^https?:\/\//, '').replace(/\/+$/, '')}/${registry}`;
}

/** The drop-in for some registries. `others` are all other files that are read, in the order in which they are read. */
export function renderDropIn(
  registries: readonly string[],
  url: string,
  others: readonly RegistriesFile[],
  flag = '',
): string {
  const header = `# Written by \`dockyard mirror install podman${flag}\`, taken away by \`dockyard mirror remove podman${flag}\`.\n`;
  return header + registries.map((registry) => `\n${renderRegistry(registry, url, others)}`).join('');
}

function renderRegistry(registry: string, url: string, others: readonly RegistriesFile[]): string {
  const known = findRegistry(others, registry) ?? {};
  const location = mirrorLocation(url, registry);
  const ours: TomlTable = { location, ...(url.startsWith('http://') ? { insecure: true } : {}) };
  const theirs = tablesOf(known['mirror']).filter((mirror) => mirror['location'] !== location);
  const entry = { prefix: registry, location: registry, ...known, mirror: [ours, ...theirs] };
  return stringify({ registry: [entry] });
}

function tablesOf(value: TomlValue | undefined): TomlTable[] {
  return Array.isArray(value) ? value.filter((item) => isTable(item)) : [];
}
