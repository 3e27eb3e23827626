/** Walks the tree of options: names, flags and variables of each, for readers of any source and for the documents. */
import { CONFIG_SCHEMA } from './schema.ts';
import { TRACKER_SCHEMA } from './tracker-schema.ts';
import type { AnySpec, GroupOptions, LeafSpec, NamedSpec } from './option.ts';

/** The tree with the types of its options erased. */
export const CONFIG_TREE: GroupOptions = CONFIG_SCHEMA;

/** The options of one process, and what the names of their variables begin with. */
export interface OptionSet {
  readonly tree: GroupOptions;
  readonly variablePrefix: string;
  /** Variables that begin so are of another process, though they begin like these too. */
  readonly otherPrefix?: string;
}

const TRACKER_PREFIX = 'DOCKYARD_TRACKER_';

/** Of a node or seed. */
export const NODE_OPTIONS: OptionSet = {
  tree: CONFIG_TREE,
  variablePrefix: 'DOCKYARD_',
  otherPrefix: TRACKER_PREFIX,
};

/** Of a tracker. */
export const TRACKER_OPTIONS: OptionSet = { tree: TRACKER_SCHEMA, variablePrefix: TRACKER_PREFIX };

/** Parts of a dotted name: `['upstreams', 'ghcr.io', 'url']`. */
export type OptionPath = readonly string[];

/** An option with a flag and a variable of its own. */
export interface FlatOption {
  readonly path: OptionPath;
  /** `swarm.listen` */
  readonly key: string;
  /** `swarm`, without dashes in front. */
  readonly flag: string;
  /** `DOCKYARD_SWARM_LISTEN` */
  readonly variable: string;
  readonly spec: LeafSpec | NamedSpec<GroupOptions>;
  readonly repeatable: boolean;
}

/** `store.maxSize` as a name for people. */
export function formatOptionPath(path: OptionPath): string {
  return path.map((part) => (part.includes('.') ? `"${part}"` : part)).join('.');
}

/** All options that have a flag and a variable; those under a name stand in the file alone. */
export function flatOptions(set: OptionSet = NODE_OPTIONS, prefix: OptionPath = []): FlatOption[] {
  return Object.entries(set.tree).flatMap(([name, spec]) => {
    const path = [...prefix, name];
    if (spec.type === 'group') return flatOptions({ ...set, tree: spec.options }, path);
    return [
      {
        path,
        key: path.join('.'),
        flag: spec.flag ?? path.map((part) => withSeparator(part, '-').toLowerCase()).join('-'),
        variable: `${set.variablePrefix}${path.map((part) => withSeparator(part, '_').toUpperCase()).join('_')}`,
        spec,
        repeatable: spec.type !== 'option',
      },
    ];
  });
}

/** The option at a path, or `undefined`. The part of a path after a map with names may be any name. */
export function optionAt(path: OptionPath, tree: GroupOptions = CONFIG_TREE): AnySpec | undefined {
  const [head, ...rest] = path;
  const spec = head === undefined || !Object.hasOwn(tree, head) ? undefined : tree[head];
  if (spec === undefined || rest.length === 0) return spec;
  if (spec.type === 'group') return optionAt(rest, spec.options);
  if (spec.type === 'named') return rest.length === 1 ? spec : optionAt(rest.slice(1), spec.entry);
  return undefined;
}

function withSeparator(camelCase: string, separator: string): string {
  return camelCase.replace(/[A-Z]/g, (letter) => `${separator}${letter}`);
}
