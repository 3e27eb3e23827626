/** The configuration in force as a file that could be loaded again; each value that was set says where. Secrets are hidden. */
import { Document } from 'yaml';
import { formatSource } from './entry.ts';
import type { LoadedConfig } from './load.ts';
import type { UnitSuffix } from './kinds.ts';
import type { GroupOptions, LeafSpec, OptionSpec } from './option.ts';
import { CONFIG_TREE, formatOptionPath, type OptionPath } from './tree.ts';

type Values = Readonly<Record<string, unknown>>;

/** YAML of all options. What is unset is left out. */
export function effectiveYaml(loaded: LoadedConfig): string {
  const document = new Document({});
  addGroup(document, CONFIG_TREE, [], loaded.config, loaded);
  return document.toString({ lineWidth: 0 });
}

function addGroup(
  document: Document,
  tree: GroupOptions,
  path: OptionPath,
  values: Values,
  loaded: LoadedConfig,
): void {
  for (const [name, spec] of Object.entries(tree)) {
    const here = [...path, name];
    if (spec.type === 'group') addGroup(document, spec.options, here, values[name] as Values, loaded);
    else if (spec.type === 'named') {
      for (const entry of values[name] as readonly Values[]) {
        addGroup(document, spec.entry, [...here, String(entry['name'])], entry, loaded);
      }
    } else addLeaf(document, spec, here, values[name + spec.kind.suffix], loaded);
  }
}

function addLeaf(document: Document, spec: LeafSpec, path: OptionPath, value: unknown, loaded: LoadedConfig): void {
  if (value === undefined) return;
  const shown =
    spec.type === 'list'
      ? (value as object[]).map((item) => (spec.secret ? '(hidden)' : spec.kind.format(item)))
      : showOne(spec, value as object);
  const node = document.createNode(shown, { flow: true });
  const source = loaded.sources.get(formatOptionPath(path));
  if (source !== undefined) node.comment = ` ${formatSource(source)}`;
  document.setIn(path, node);
}

function showOne(spec: OptionSpec<unknown, UnitSuffix>, value: object | string | number | boolean): unknown {
  if (spec.secret) return '(hidden)';
  const isPlain = typeof value === 'boolean' || (Number.isFinite(value) && spec.kind.suffix === '');
  return isPlain ? value : spec.kind.format(value);
}
