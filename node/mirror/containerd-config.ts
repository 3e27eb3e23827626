/**
 * `config.toml` of containerd: whether its CRI plugin looks into a folder of `hosts.toml` files, and which.
 * @see https://github.com/containerd/containerd/blob/main/docs/cri/registry.md
 */
import type { TomlTable } from 'smol-toml';
import { nodeError } from '../errors.ts';
import { insertWhere, isSameToml, isTable, markedBlock, parseToml, tomlAt } from './toml-edit.ts';

/** Version 2 is read by containerd 1.3 and later, 2.x included. */
const REGISTRY_KEYS_BY_VERSION: Readonly<Record<number, readonly string[]>> = {
  2: ['plugins', 'io.containerd.grpc.v1.cri', 'registry'],
  3: ['plugins', 'io.containerd.cri.v1.images', 'registry'],
};

const NEW_FILE_VERSION = 2;

/** What a file says of the folder. */
export interface ContainerdRegistryConfig {
  readonly version: number;
  /** The first folder of `config_path`; `undefined` when it is not set. */
  readonly certsDirectory: string | undefined;
  /** The old way to name mirrors, which excludes `config_path`. */
  readonly hasOldMirrors: boolean;
}

/**
 * Reads a file; none is `undefined`.
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE
 */
export function readContainerdConfig(text: string | undefined, path: string): ContainerdRegistryConfig {
  if (text === undefined) return { version: NEW_FILE_VERSION, certsDirectory: undefined, hasOldMirrors: false };
  const table = parseToml(text, path);
  const version = Number(table['version'] ?? 1);
  const registry = tomlAt(table, REGISTRY_KEYS_BY_VERSION[version] ?? []);
  if (!isTable(registry) || REGISTRY_KEYS_BY_VERSION[version] === undefined) {
    return { version, certsDirectory: undefined, hasOldMirrors: false };
  }
  const configPath = registry['config_path'];
  const [first = ''] = typeof configPath === 'string' ? configPath.split(':') : [];
  return { version, certsDirectory: first === '' ? undefined : first, hasOldMirrors: isTable(registry['mirrors']) };
}

/** The lines that set the folder, as a person would add them. */
export function configPathLines(version: number, directory: string): readonly string[] {
  const keys = REGISTRY_KEYS_BY_VERSION[version] ?? [];
  return [
    `[${keys.map((key) => (key.includes('.') ? JSON.stringify(key) : key)).join('.')}]`,
    configPathLine(directory),
  ];
}

function configPathLine(directory: string): string {
  return `  config_path = ${JSON.stringify(directory)}`;
}

/**
 * Sets the folder in a file where none is set. `path` is the file, for messages.
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE
 */
export function setConfigPath(text: string | undefined, path: string, directory: string): string {
  const { version, hasOldMirrors } = readContainerdConfig(text, path);
  if (text === undefined)
    return `version = ${NEW_FILE_VERSION}\n\n${markedBlock(configPathLines(NEW_FILE_VERSION, directory))}`;
  const keys = REGISTRY_KEYS_BY_VERSION[version];
  if (keys === undefined) {
    throw nodeError('ERR_MIRROR_UNEDITABLE', `${path} is of version ${version}; versions 2 and 3 can be edited`);
  }
  if (hasOldMirrors) {
    throw nodeError(
      'ERR_MIRROR_UNEDITABLE',
      `${path} names mirrors in registry.mirrors, which excludes config_path; move them to hosts.toml files first`,
    );
  }
  const before = parseToml(text, path);
  const isWanted = (after: TomlTable): boolean => isConfigPathAdded(before, after, keys, directory);
  const edited =
    insertWhere(text, markedBlock([configPathLine(directory)]), 'after-header', isWanted) ??
    insertWhere(text, markedBlock(configPathLines(version, directory)), 'before-table', isWanted);
  if (edited !== undefined) return edited;
  throw nodeError('ERR_MIRROR_UNEDITABLE', `${path} has a form in which config_path cannot be set; set it by hand`);
}

function isConfigPathAdded(before: TomlTable, after: TomlTable, keys: readonly string[], directory: string): boolean {
  const expected = structuredClone(before);
  let table = expected;
  for (const key of keys) {
    const next = table[key] ?? {};
    if (!isTable(next)) return false;
    table[key] = next;
    table = next;
  }
  table['config_path'] = directory;
  return isSameToml(expected, after);
}
