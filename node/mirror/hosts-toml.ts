/**
 * `hosts.toml`: where containerd, and Docker with the containerd image store, look for a registry. Our node becomes the
 * first host; what stood there comes after it, and the registry itself last.
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
import type { TomlTable } from 'smol-toml';
import { nodeError } from '../errors.ts';
import { insertWhere, isSameToml, isTable, markedBlock, parseToml } from './toml-edit.ts';

/**
 * How long a client waits for a connection to the node before it goes on to the registry. containerd waits 30 s for each
 * blob otherwise; it knows the key from 2.1 on, and passes over it before.
 */
const DIAL_TIMEOUT = '200ms';

function hostBlock(url: string): string {
  return markedBlock([
    `[host.${JSON.stringify(url)}]`,
    '  capabilities = ["pull", "resolve"]',
    `  dial_timeout = "${DIAL_TIMEOUT}"`,
  ]);
}

/** True when the file names the node among its hosts. */
export function hasHost(text: string, path: string, url: string): boolean {
  return hostNames(parseToml(text, path)).includes(url);
}

/**
 * Puts the node in front of the hosts of a file; without a file (`undefined`) makes one. It has no `server`, so that the
 * registry itself stays the last resort.
 * @returns the new text; the same text when the node is named there already, by whoever
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE
 */
export function addHost(text: string | undefined, path: string, url: string): string {
  if (text === undefined) return hostBlock(url);
  const before = parseToml(text, path);
  if (hostNames(before).includes(url)) return text;
  const edited = insertWhere(text, hostBlock(url), 'before-table', (after) => isFirstHostAdded(before, after, url));
  if (edited !== undefined) return edited;
  throw nodeError(
    'ERR_MIRROR_UNEDITABLE',
    `${path} has a form that no host can be put in front of; put these lines there by hand:\n${hostBlock(url)}`,
  );
}

function isFirstHostAdded(before: TomlTable, after: TomlTable, url: string): boolean {
  if (hostNames(after)[0] !== url) return false;
  const rest = structuredClone(after);
  const hosts = rest['host'];
  if (!isTable(hosts)) return false;
  delete hosts[url];
  const expected = structuredClone(before);
  if (!('host' in expected)) delete rest['host'];
  return isSameToml(rest, expected);
}

function hostNames(table: TomlTable): string[] {
  const hosts = table['host'];
  return isTable(hosts) ? Object.keys(hosts) : [];
}
