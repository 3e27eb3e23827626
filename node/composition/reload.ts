/** What a changed configuration means for a running node: what is applied, and what waits for a restart. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { NodeConfig } from '../config/schema.ts';
import type { GroupOptions } from '../config/option.ts';
import { CONFIG_TREE, formatOptionPath, type OptionPath } from '../config/tree.ts';

/** The outcome of a reload. */
export interface ReloadPlan {
  /** The configuration in force afterwards: the new one, with the old values of what has to wait. */
  readonly config: NodeConfig;
  /** Dotted names of what is applied. */
  readonly applied: readonly string[];
  /** Dotted names of what was changed and has to wait for a restart. */
  readonly waiting: readonly string[];
}

/** Compares two configurations. */
export function planReload(before: NodeConfig, after: NodeConfig): ReloadPlan {
  const applied: string[] = [];
  const waiting: string[] = [];
  const config = merge(CONFIG_TREE, [], before, after, { applied, waiting });
  return { config: config as unknown as NodeConfig, applied, waiting };
}

type Values = Readonly<Record<string, unknown>>;

function merge(
  tree: GroupOptions,
  path: OptionPath,
  before: Values,
  after: Values,
  found: { applied: string[]; waiting: string[] },
): Values {
  const merged: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(tree)) {
    const here = [...path, name];
    if (spec.type === 'group') {
      merged[name] = merge(spec.options, here, before[name] as Values, after[name] as Values, found);
      continue;
    }
    const key = spec.type === 'named' ? name : name + spec.kind.suffix;
    const isReloadable = spec.type === 'named' || spec.reloadable;
    merged[key] = isReloadable ? after[key] : before[key];
    if (!isDeepStrictEqual(before[key], after[key]))
      found[isReloadable ? 'applied' : 'waiting'].push(formatOptionPath(here));
  }
  return merged;
}
