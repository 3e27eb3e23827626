/** Turns checked texts and defaults into the configuration: the last step of loading, without any I/O. */
import { resolve } from 'node:path';
import type { ConfigEntry, ConfigProblem, ValueSource } from './entry.ts';
import type { GroupOptions, LeafSpec, NamedSpec, ProcessFacts } from './option.ts';
import type { ValueKind, UnitSuffix } from './kinds.ts';
import { CONFIG_TREE, formatOptionPath, type OptionPath } from './tree.ts';

/** A configuration whose types are not known to this file. */
export interface ResolvedTree {
  readonly values: Readonly<Record<string, unknown>>;
  readonly problems: readonly ConfigProblem[];
  /** By dotted name, for what does not have its default. */
  readonly sources: ReadonlyMap<string, ValueSource>;
}

/** Builds the configuration from the entries that count, one for each path, and the names that the operator chose, by map, in their order. */
export function resolveTree(
  entries: readonly ConfigEntry[],
  names: ReadonlyMap<string, readonly string[]>,
  facts: ProcessFacts,
  tree: GroupOptions = CONFIG_TREE,
): ResolvedTree {
  return new Resolver(entries, names, facts).resolve(tree);
}

class Resolver {
  readonly #entries: ReadonlyMap<string, ConfigEntry>;
  readonly #names: ReadonlyMap<string, readonly string[]>;
  readonly #facts: ProcessFacts;
  readonly #problems: ConfigProblem[] = [];

  constructor(entries: readonly ConfigEntry[], names: ReadonlyMap<string, readonly string[]>, facts: ProcessFacts) {
    this.#entries = new Map(entries.map((entry) => [formatOptionPath(entry.path), entry]));
    this.#names = names;
    this.#facts = facts;
  }

  resolve(tree: GroupOptions): ResolvedTree {
    const values = this.#group(tree, [], new Map());
    const sources = new Map([...this.#entries].map(([key, entry]) => [key, entry.source]));
    return { values, problems: this.#problems, sources };
  }

  #group(options: GroupOptions, path: OptionPath, earlier: Map<string, unknown>): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, spec] of Object.entries(options)) {
      const here = [...path, name];
      if (spec.type === 'group') values[name] = this.#group(spec.options, here, earlier);
      else if (spec.type === 'named') values[name] = this.#named(spec, here);
      else {
        const value = this.#leaf(spec, here, earlier);
        earlier.set(here.join('.'), value);
        values[name + spec.kind.suffix] = value;
      }
    }
    return values;
  }

  #named(spec: NamedSpec<GroupOptions>, path: OptionPath): Record<string, unknown>[] {
    const names = [...new Set([...(this.#names.get(formatOptionPath(path)) ?? []), ...spec.builtIn])];
    return names.map((name) => ({ name, ...this.#group(spec.entry, [...path, name], new Map([['name', name]])) }));
  }

  #leaf(spec: LeafSpec, path: OptionPath, earlier: ReadonlyMap<string, unknown>): unknown {
    const entry = this.#entries.get(formatOptionPath(path));
    if (entry !== undefined && spec.type === 'list') {
      return entry.texts.map((text) => this.#value(spec.kind, text, spec.secret, entry));
    }
    const value =
      entry === undefined ? undefined : this.#value(spec.kind, entry.texts.at(-1) ?? '', spec.secret, entry);
    // A value that is not allowed was reported; the default stands in, so that what depends on it can be checked too.
    return value ?? spec.defaultValue({ facts: this.#facts, earlier: (key) => earlier.get(key) });
  }

  #value(kind: ValueKind<unknown, UnitSuffix>, text: string, secret: boolean, entry: ConfigEntry): unknown {
    const result = kind.schema.safeParse(text);
    if (result.success) return kind.isPath ? this.#absolutePath(text, entry.baseDirectory) : result.data;
    const shown = secret ? 'what is given' : `'${text.length > 120 ? `${text.slice(0, 120)}…` : text}'`;
    this.#problems.push({
      source: entry.source,
      message: `${formatOptionPath(entry.path)} cannot be ${shown}; allowed: ${kind.allowed}`,
    });
    return undefined;
  }

  #absolutePath(path: string, baseDirectory: string): string {
    const isHome = path === '~' || path.startsWith('~/');
    return isHome ? resolve(this.#facts.homeDirectory, `.${path.slice(1)}`) : resolve(baseDirectory, path);
  }
}
